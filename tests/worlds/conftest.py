"""What all worlds have in common."""

import pytest

from reconcile.core.breaker import Patience


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is waited out for half a second, not for ten minutes."""
    monkeypatch.setattr("reconcile.run.PATIENCE", Patience(probe_every_s=0.1, longest_s=0.5))

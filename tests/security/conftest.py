"""What every file here needs: an outage is not waited out, and nobody sleeps between attempts."""

import pytest

from reconcile.core.breaker import Patience


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconcile.run.PATIENCE", Patience(probe_every_s=0.05, longest_s=0.1))
    monkeypatch.setattr("reconcile.cometchat.client.BACKOFF_S", 0.001)

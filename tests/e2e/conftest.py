"""Fixtures of the end-to-end tests."""

import pytest

from reconcile.core.breaker import Patience
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e import small_world


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is waited out for half a second, not for ten minutes."""
    monkeypatch.setattr("reconcile.run.PATIENCE", Patience(probe_every_s=0.1, longest_s=0.5))


@pytest.fixture
def world(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command line in the small world: one user for every kind of drift."""
    small_world.load(sandbox)
    (shell.folder / "reconcile.toml").unlink()
    shell.write("users.csv", small_world.EXPORT)
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", "users.csv")
    return shell

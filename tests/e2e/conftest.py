"""Fixtures of the end-to-end tests: each runs under every profile of the sandbox, where it does not say otherwise."""

import pytest

from reconcile.core.breaker import Patience
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e import small_world
from tests.e2e.profiles import PROFILES, Profile


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    """How the service answers."""
    return PROFILES[request.param]


@pytest.fixture
def sandbox(sandbox: Sandbox, profile: Profile) -> Sandbox:
    """The look-alike under this profile."""
    sandbox.use_profile(profile.name)
    return sandbox


@pytest.fixture
def shell(shell: Shell, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command line, with the rates in its environment where the service does not name them."""
    for name, value in profile.environment.items():
        monkeypatch.setenv(name, value)
    return shell


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

"""One served look-alike of CometChat for the whole folder, emptied before each test."""

import ssl
from collections.abc import Iterator

import pytest

from reconcile.cometchat.client import Client
from reconcile.sandbox.testing import Sandbox, running_sandbox
from tests.cometchat.builders import a_client

_TLS = ssl.create_default_context()


@pytest.fixture(autouse=True)
def _one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    # Making one costs 50 ms, and hardly a test here speaks TLS.
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: _TLS)


@pytest.fixture(scope="session")
def _served() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(_served: Sandbox) -> Sandbox:
    """An empty app."""
    _served.reset()
    _served.clear_log()
    return _served


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    """A client of the sandbox over real sockets; its waits cost no time."""
    client = a_client(base_url=sandbox.base_url, key=sandbox.api_key)
    yield client
    client.close()

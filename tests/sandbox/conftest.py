"""
One served sandbox for the whole folder, emptied before each test, and clients of it.
"""

from collections.abc import Iterator

import httpx
import pytest

from reconcile.sandbox import Sandbox, running_sandbox


@pytest.fixture(scope="session")
def _served() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def _client(_served: Sandbox) -> Iterator[httpx.Client]:
    # Shared, because making one costs more than a whole test.
    with httpx.Client(base_url=_served.base_url, headers={"apikey": _served.api_key}, timeout=5) as client:
        yield client


@pytest.fixture(scope="session")
def _control(_served: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=_served.control_url, timeout=5) as client:
        yield client


@pytest.fixture
def sandbox(_served: Sandbox) -> Sandbox:
    """
    An app without users, that answers every question as the profile `observed` does.
    """
    _served.reset()
    return _served


@pytest.fixture
def api(sandbox: Sandbox, _client: httpx.Client) -> httpx.Client:
    """
    A client with the full-access key.
    """
    return _client


@pytest.fixture
def control(sandbox: Sandbox, _control: httpx.Client) -> httpx.Client:
    """
    A client of the control API, without a key.
    """
    return _control

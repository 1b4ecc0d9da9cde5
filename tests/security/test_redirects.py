"""No request goes to another host or over another scheme than the settings say."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from reconcile.cometchat.wire import Request
from reconcile.config import Flags, load
from reconcile.errors import DirectoryError, SettingsError
from reconcile.keys import api_key
from tests.cometchat.builders import a_client
from tests.conftest import Shell
from tests.security.servers import Peer, answer, serving


@contextmanager
def _twins(status: int) -> Iterator[tuple[Peer, Peer]]:
    """Serve one that sends everybody to the other."""
    with (
        serving(lambda line, _: line.sendall(answer(200, b"{}"))) as second,
        serving(lambda line, _: line.sendall(answer(status, b"{}", location=f"{second.url}/users"))) as first,
    ):
        yield first, second


@pytest.mark.parametrize(
    ("status", "method"), list(product([301, 302, 307, 308], ["GET", "POST", "PUT", "DELETE"]))
)
def test_a_redirect_takes_nothing_to_another_server(status: int, method: str) -> None:
    """Not the key, not a body, not even a connection."""
    body = None if method == "GET" else {"uid": "kiwi"}
    with _twins(status) as (first, second):
        client = a_client(base_url=first.url)
        with pytest.raises(DirectoryError):
            client.send(Request(method, "/users/kiwi", lambda raw: raw, body=body))
        client.close()

    assert first.connections == 1
    assert second.connections == 0


@pytest.mark.parametrize("status", [301, 308])
def test_a_whole_run_follows_no_redirect(shell: Shell, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """The run ends with what to look at."""
    with _twins(status) as (first, second):
        monkeypatch.setenv("COMETCHAT_BASE_URL", first.url)
        result = shell("apply", "--yes", "--json")

    assert result.code != 0
    assert first.connections > 0
    assert second.connections == 0


ADDRESSES = [
    "https://api.example/v3", "https://API.example/v3", "https://api.example:443/v3", "https://[2001:db8::1]/v3",
    "https://xn--bcher-kva.example/v3", "https://bücher.example/v3", "https://api.example./v3",
    "https://api.example/v3/..", "https://api.example//evil.example/v3", "https://api.example/%2e%2e/v3",
    "https://api.example%2eevil.example/v3", "https://api.example%00.evil.example/v3",
    "https://api.example%40evil.example/v3", "https://api.example\\@evil.example/v3",
    "https://api.example\\evil.example/v3", "https://api.example/@evil.example/v3", "https://api.example;@evil.example",
    "https://evil.example#@api.example/v3", "https://evil.example?@api.example/v3", "https:/\\evil.example/v3",
    "https:api.example/v3", "https:///evil.example/v3", "https://api.example:@evil.example/v3", "https://ⓔvil.example",
    "https://api.example／evil.example/v3", "https://api.example。evil.example/v3", "http://127.0.0.1.evil.example/v3",
    "http://127.0.0.1@evil.example/v3", "http://[::1].evil.example/v3", "http://localhost%2eevil.example/v3",
    "http://127.0.0.1%2f@evil.example", "http://[::ffff:8.8.8.8]/v3", "http://0/v3", "http://localhost.evil.example",
    "http://[::1%25eth0]/v3", "http://127.0.0.1:8055/v3", "http://[::1]:8055/v3",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_address_that_is_checked_is_the_one_that_is_called(address: str) -> None:
    """It is refused, or the library reads the same host out of it; plain http means this machine."""
    try:
        settings = load(Flags(sets=(f"cometchat.base_url={address}",)), {})
    except SettingsError:
        return
    try:
        called = httpx.URL(settings.cometchat.url + "/users/kiwi")
    except (httpx.InvalidURL, UnicodeError):
        return  # The client ends there, with that row of the error table.
    checked = urlsplit(address).hostname or ""

    assert called.host.encode("idna") == checked.encode("idna")
    assert called.scheme == "https" or called.host in {"127.0.0.1", "::1", "localhost"}


def test_a_key_in_the_place_of_a_name_does_not_come_back() -> None:
    """What named the key file may be the key."""
    key = "c0ffee" * 6 + "beef"
    settings = load(Flags(sets=(f"cometchat.api_key_file={key}",)), {})
    with pytest.raises(SettingsError) as refused:
        api_key(settings, {})
    assert key not in msgspec.json.encode(refused.value.problems).decode()

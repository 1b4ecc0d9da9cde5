"""
Promises about TLS: who believes the certificate, and that every path of the SDK answers.
"""

import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from reconcile.sandbox import Sandbox, running_sandbox

# What the vendor's JavaScript SDK adds to each user that it sends.
SDK_FIELDS = {"hasBlockedMe": False, "blockedByMe": False, "deactivatedAt": 0}
SDK_HEADERS = {"appId": "demo", "sdk": "javascript@4.2.0", "resource": "WEB-4_2_0-1"}


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """
    A sandbox that is reached over TLS only.
    """
    with running_sandbox(tls=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def api(served: Sandbox) -> Iterator[httpx.Client]:
    """
    A client that believes the sandbox's authority.
    """
    with httpx.Client(verify=trusting(served), headers={"apikey": served.api_key}, timeout=5) as client:
        yield client


def trusting(sandbox: Sandbox) -> ssl.SSLContext:
    """
    Return the settings of a client that reads the authority's file.
    """
    assert sandbox.ca_file is not None
    return ssl.create_default_context(cafile=sandbox.ca_file)


@pytest.mark.parametrize("prefix", ["/v3", "/v3.0", ""])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_client_with_the_authority_is_answered(
    served: Sandbox, api: httpx.Client, host: str, prefix: str
) -> None:
    """
    Every prefix answers, under every name of this machine.
    """
    url = httpx.URL(served.base_url, host=host, path=f"{prefix}/roles")

    assert url.scheme == "https"
    assert api.get(url).json()["data"][0]["role"] == "default"


def test_a_client_without_the_authority_refuses(served: Sandbox) -> None:
    """
    Nobody believes the certificate by himself.
    """
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{served.base_url}/roles")


def test_plain_http_is_not_answered(served: Sandbox) -> None:
    """
    A port speaks one protocol.
    """
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(str(httpx.URL(served.base_url, scheme="http")))


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost"])
def test_the_certificate_names_every_loopback_address(served: Sandbox, name: str) -> None:
    """
    A client may believe that it came by either kind of address, or by name; by no other.
    """
    with _secret(served, name) as connection:
        assert connection.version() in ("TLSv1.2", "TLSv1.3")
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"), _secret(served, "example.com"):
        pass


@contextmanager
def _secret(served: Sandbox, name: str) -> Iterator[ssl.SSLSocket]:
    url = httpx.URL(served.base_url)
    with (
        socket.create_connection((url.host, url.port or 0), timeout=5) as plain,
        trusting(served).wrap_socket(plain, server_hostname=name) as secret,
    ):
        yield secret


@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_a_user_as_the_sdk_writes_it(served: Sandbox, spell: Callable[[str], str]) -> None:
    """
    Headers count in any case, and the fields that the SDK adds are ignored.
    """
    served.reset()
    served.load_users([{"uid": "gone", "name": "Gone", "deactivatedAt": 5}])
    root = served.base_url.removesuffix("/v3")
    headers = {spell(name): value for name, value in (SDK_HEADERS | {"apiKey": served.api_key}).items()}
    with httpx.Client(verify=trusting(served), headers=headers, base_url=root) as sdk:
        made = sdk.post("/users", json=SDK_FIELDS | {"uid": "Wren", "name": "Wren"}).json()["data"]
        changed = sdk.put("/users/Wren", json=SDK_FIELDS | {"uid": "Wren", "name": "House Wren"}).json()["data"]
        revived = sdk.put("/users/gone", json=SDK_FIELDS | {"uid": "gone"}).status_code

    assert (made["uid"], made["name"], changed["name"]) == ("wren", "Wren", "House Wren")
    assert not SDK_FIELDS.keys() & (made.keys() | changed.keys() | served.users()["wren"].keys())
    assert (revived, served.users()["gone"]["deactivatedAt"]) == (404, 5)


@pytest.mark.parametrize("kind", ["reset", "silence"])
def test_a_connection_can_be_cut_below_tls(served: Sandbox, api: httpx.Client, kind: str) -> None:
    """
    The faults that need the socket work here, too.
    """
    served.reset()
    served.fault(kind, times=1, **({"seconds": 0.01} if kind == "silence" else {}))
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        api.get(f"{served.base_url}/roles")

    assert api.get(f"{served.base_url}/roles").status_code == 200


def test_the_file_of_the_authority_is_for_all_to_read(tmp_path: Path) -> None:
    """
    It is written where it was asked for and stays there; otherwise it goes with the server.
    """
    asked = tmp_path / "ca.pem"
    with running_sandbox(tls=True, ca_file=asked) as sandbox, running_sandbox(tls=True) as other:
        own = Path(other.ca_file or "")
        there = asked.is_file(), own.is_file()

    assert sandbox.ca_file == str(asked)
    assert (there, own.exists()) == ((True, True), False)
    assert stat.S_IMODE(asked.stat().st_mode) == 0o644
    assert "PRIVATE" not in asked.read_text()


def test_a_file_without_tls_makes_no_sense(tmp_path: Path) -> None:
    """
    There is no authority to write down.
    """
    with pytest.raises(ValueError, match="TLS"), running_sandbox(ca_file=tmp_path / "ca.pem"):
        pass


def test_without_tls_there_is_no_authority(sandbox: Sandbox) -> None:
    """
    Plain http is the default.
    """
    assert (sandbox.base_url[:5], sandbox.ca_file) == ("http:", None)

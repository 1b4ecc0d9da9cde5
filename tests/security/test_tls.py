"""A server that cannot prove who it is gets nothing: it is refused at once, with what to do about it."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from reconcile.cometchat import wire
from reconcile.cometchat.client import Client
from reconcile.cometchat.wire import Request
from reconcile.errors import DirectoryStopped, SettingsError
from reconcile.settings import Secret
from tests.cometchat.builders import KEY, Clock, a_gate
from tests.scale import dice
from tests.security.servers import answer, serving

ROLES = Request("GET", "/roles", wire.read_roles)
CREATE = Request("POST", "/users", lambda body: wire.read_user(body, "kiwi"), body={"uid": "kiwi"})
YEARS_AGO = datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC)
YEARS_AHEAD = datetime(2101, 1, 1, tzinfo=UTC), datetime(2102, 1, 1, tzinfo=UTC)

Show = Callable[[ssl.SSLContext, trustme.CA], object]


def _leaf(*names: str, not_before: datetime | None = None, not_after: datetime | None = None) -> Show:
    def show(context: ssl.SSLContext, authority: trustme.CA) -> None:
        made = authority.issue_cert(*names, not_before=not_before, not_after=not_after)
        made.configure_cert(context)

    return show


def _foreign(context: ssl.SSLContext, _authority: trustme.CA) -> None:
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)


def _own(context: ssl.SSLContext, _authority: trustme.CA) -> None:
    alone = trustme.CA()
    with alone.private_key_pem.tempfile() as key, alone.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)


REFUSED: dict[str, tuple[Show, str]] = {
    "expired": (_leaf("127.0.0.1", not_before=YEARS_AGO[0], not_after=YEARS_AGO[1]), "expired"),
    "not yet valid": (_leaf("127.0.0.1", not_before=YEARS_AHEAD[0], not_after=YEARS_AHEAD[1]), "not yet valid"),
    "for another address": (_leaf("127.0.0.2"), "IP address mismatch"),
    "for a name alone": (_leaf("api.example"), "IP address mismatch"),
    "self-signed": (_own, "self-signed certificate"),
    "of an unknown authority": (_foreign, "unable to get local issuer certificate"),
}


def _client(url: str, ca_file: Path | str) -> Client:
    gate = a_gate(Clock())
    return Client(url, "orchard", Secret(KEY), gate, random=dice("tls"), ca_file=str(ca_file))


@pytest.mark.parametrize("request_", [ROLES, CREATE], ids=["read", "write"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_certificate_that_proves_nothing_is_refused_at_once(
    tmp_path: Path, name: str, request_: Request[object]
) -> None:
    """One handshake, no request, and the reason with its remedy."""
    show, reason = REFUSED[name]
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    show(context, authority)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serving(lambda line, _: line.sendall(answer(200)), tls=context) as server:
        client = _client(server.url, tmp_path / "ca.pem")
        with pytest.raises(DirectoryStopped) as stopped:
            client.send(request_)
        client.close()

    assert reason in stopped.value.message
    assert "ca_file" in stopped.value.hint
    assert (server.connections, server.asked) == (1, [])


def test_the_authority_of_a_company_is_believed_when_it_is_named(tmp_path: Path) -> None:
    """And by nobody else."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _leaf("127.0.0.1")(context, authority)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    roles = answer(200, b'{"data":[{"role":"default"}]}')
    with serving(lambda line, _: line.sendall(roles), tls=context) as server:
        client, stranger = _client(server.url, tmp_path / "ca.pem"), _client(server.url, "")
        found = client.send(ROLES)
        with pytest.raises(DirectoryStopped):
            stranger.send(ROLES)
        client.close()
        stranger.close()

    assert found == frozenset({"default"})
    assert len(server.asked) == 1


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_of_no_authority_is_a_mistake_in_the_settings(tmp_path: Path, content: bytes | None) -> None:
    """It does not fall back on another trust."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="ca_file"):
        _client("https://127.0.0.1/v3", file)

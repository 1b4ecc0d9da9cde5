"""Half a surrogate pair in what CometChat says of one user: that user is read with a stand-in, and nobody else suffers."""

import msgspec
import pytest

from reconcile.sandbox import answers
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import PROFILES, Profile
from tests.e2e.test_requests import LONG_AGO, NO_GUARDS
from tests.e2e.traces import uids_with

COUNTRY = ("--map", "metadata.country=country", *NO_GUARDS)
WHOLE = "\U0001f95d"  # a pair, which is one character


@pytest.fixture
def profile() -> Profile:
    """How texts are read does not depend on the service."""
    return PROFILES["observed"]


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """A service that says HALF as the escape of half a pair."""
    encode = msgspec.json.encode
    pair = rb"\ud83e\udd5d"

    def halved(value: object) -> bytes:
        return encode(value).replace(b"HALF", rb"\ud800").replace(WHOLE.encode(), pair)

    monkeypatch.setattr(answers, "_encode", halved)
    return Nights(shell, sandbox)


def test_one_user_with_half_a_character_ends_no_run(nights: Nights, sandbox: Sandbox) -> None:
    """Its managed fields are written, what is not managed stays, and metadata that would be written whole is not."""
    known: dict[str, object] = {
        "name": "Same",
        "role": "default",
        "createdAt": LONG_AGO,
        "metadata": {"country": "NZ"},
    }
    odd: dict[int, dict[str, object]] = {
        1: {"statusMessage": "HALF"},
        2: {"name": "Same HALF"},
        3: {"metadata": {"country": "HALF"}},
        4: {"metadata": {"country": "ES", "theme": "HALF \\ud800"}},
        5: {"name": f"Kiwi {WHOLE} \\ud800"},
    }
    sandbox.load_users({"uid": f"user-{number}", **known} for number in range(1, 7))
    sandbox.load_users({"uid": f"user-{number}", **known, **but} for number, but in odd.items())
    nights.write(6, avatar="", country="NZ")
    result = nights.shell("apply", "--yes", "--json", *COUNTRY)
    users = sandbox.users()

    assert result.code == 4, result.err
    assert result.json["drift"]["unknown"] == 0
    assert result.json["outcomes"] | {"applied": 3, "rejected": 1} == result.json["outcomes"]
    assert uids_with(nights.shell, "rejected") == {"user-4"}
    assert users["user-1"]["statusMessage"] == "HALF"
    assert {users[f"user-{number}"]["name"] for number in (2, 5)} == {"Same"}
    assert users["user-3"]["metadata"] == {"country": "NZ"}
    assert users["user-4"]["metadata"] == {"country": "ES", "theme": "HALF \\ud800"}
    assert b"\xef\xb7\x90" not in msgspec.json.encode([entry.body for entry in sandbox.log()])


def test_an_undo_does_not_write_the_stand_in(nights: Nights, sandbox: Sandbox) -> None:
    """What half a character stood in is not put back: nobody has read it as it was."""
    sandbox.load_users([{"uid": "user-1", "name": "Old HALF", "role": "default", "createdAt": LONG_AGO}])
    nights.write(1, avatar="")
    run_id = nights.run(1, *NO_GUARDS, "--yes", command=("apply",), avatar="").json["run_id"]
    undone = nights.shell("undo", run_id, "--yes", "--json")

    assert undone.code == 0, undone.err
    assert "user-1 (name)" in " ".join(undone.json["notes"])
    assert sandbox.users()["user-1"]["name"] == "Same"

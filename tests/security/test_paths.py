"""No uid reaches another path of the API than its own."""

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.cometchat.wire import Request
from reconcile.core.users import fold_uid
from reconcile.errors import DirectoryStopped
from tests.cometchat.builders import a_client
from tests.scale import how_many

SEEN: list[bytes] = []


def _answer(request: httpx.Request) -> httpx.Response:
    SEEN.append(request.url.raw_path)
    return httpx.Response(200, json={"data": {"uid": "kiwi"}})


CLIENT = a_client(_answer)

PIECES = [
    ".", "..", "/", "\\", "%", "%2e", "%2E", "%2f", "%2F", "%5c", "%00", "%0d%0a", "%252e", "?", "#", ";", "&", "=", "@",
    ":", "//", "\x00", "\r", "\n", "\t", " ", "~", "+", "*", "ä", "\u212a", "．", "／", "\u2024", "\u202e", "\ud800",
]  # fmt: skip
NASTIES = [
    text
    for piece in PIECES
    for text in (piece, piece * 2, f"kiwi{piece}", f"{piece}kiwi", f"kiwi{piece}roles", f"{piece}{piece}/roles")
]


def _leaves(uid: str) -> bytes | None:
    """Give the path that a look at this uid goes to; None where nothing is sent."""
    SEEN.clear()
    try:
        CLIENT.send(Request("GET", f"/users/{uid}", lambda body: body))
    except DirectoryStopped:
        assert not SEEN
        return None
    return SEEN[-1]


def test_there_are_two_hundred_nasties() -> None:
    """Each once."""
    assert len(set(NASTIES)) >= 200


@pytest.mark.parametrize("text", NASTIES, ids=range(len(NASTIES)))
def test_a_text_that_is_no_uid_reaches_no_path(text: str) -> None:
    """The source does not take it; and if it did, the client would send it as it is or not at all."""
    assert fold_uid(text) in {None, "kiwi", "k"}  # White space around it is trimmed, of whatever kind.
    assert _leaves(text) in {None, f"/v3/users/{text}".encode("utf-8", "replace")}


@settings(max_examples=how_many(1_000, soak=10_000), deadline=None)
@given(st.text(st.sampled_from("abzAZ09-_./%?#\\ \u212aä"), max_size=110) | st.text(max_size=110))
def test_what_the_source_takes_for_a_uid_leaves_as_it_is(text: str) -> None:
    """Byte for byte, as the last part of the path; anything else does not leave."""
    uid = fold_uid(text)

    if uid is not None:
        assert _leaves(uid) == f"/v3/users/{uid}".encode()
    assert _leaves(text) in {None, f"/v3/users/{text}".encode("utf-8", "replace")}

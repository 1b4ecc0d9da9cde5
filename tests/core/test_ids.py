"""Promises about uids that are made of other ids: the app's login code relies on them for ever."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile import hash_suffix, lower, strip
from reconcile.core.users import fold_uid

DOCS = Path(__file__).parents[2] / "docs" / "mapping.md"
VECTORS = re.findall(r"^\| `([^`]+)` \| `([a-z0-9_-]+)` \|$", DOCS.read_text("utf-8"), re.MULTILINE)


def test_the_documented_vectors_are_there() -> None:
    """The table of the docs is what the next test reads."""
    assert len(VECTORS) == 8


@pytest.mark.parametrize(("written", "uid"), VECTORS)
def test_each_documented_vector_comes_out(written: str, uid: str) -> None:
    """Whoever writes it again in another language has these to hold it against."""
    assert hash_suffix(lower(strip(written))) == uid


@given(st.text(min_size=1, max_size=300))
def test_any_id_becomes_a_legal_uid(written: str) -> None:
    """Whatever an app uses as an id: nothing is refused, and nothing is folded a second time."""
    uid = hash_suffix(written.encode("utf-8", "ignore").decode() or "x")

    assert fold_uid(uid) == uid


@given(st.lists(st.text("aAbB.@- é", min_size=1, max_size=6), min_size=2, max_size=30, unique=True))
def test_different_ids_stay_apart(written: list[str]) -> None:
    """Ids that look alike once they are cleaned keep a uid each."""
    assert len({hash_suffix(text) for text in written}) == len(written)


def test_no_id_is_no_uid() -> None:
    """A hash of nothing would be one user for all who have no id."""
    assert hash_suffix("") == ""


def test_lower_leaves_other_alphabets_alone() -> None:
    """A Kelvin sign is no K, and a Turkish capital İ has no one lower case."""
    assert lower("ABZ\N{KELVIN SIGN}İÄ") == "abz\N{KELVIN SIGN}İÄ"


def test_strip_takes_what_cannot_be_seen() -> None:
    """What a spreadsheet leaves around an id is no part of it; inside it stays."""
    assert strip("\ufeff\u200b wr\u200ben\u00a0\n") == "wr\u200ben"

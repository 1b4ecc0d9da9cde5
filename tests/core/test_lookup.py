"""Promises about finding the row of a uid."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core import hashes, lookup
from reconcile.core.lookup import UidIndex, repeated

uids = st.lists(st.text("abcdef-_09", min_size=1, max_size=6), unique=True, max_size=40)


def rows_of(known: list[str], asked: list[str]) -> list[int]:
    """Ask an index of `known` for `asked`."""
    found: list[int] = UidIndex(pa.array(known, pa.string())).rows(pa.array(asked, pa.string())).tolist()
    return found


def one_of_three(texts: pa.Array) -> npt.NDArray[np.uint64]:
    """A hash that is no good: nearly everything collides."""
    return np.array([len(text or "") % 3 for text in texts.to_pylist()], dtype=np.uint64)


@given(uids, st.lists(st.text("abcdef-_09", min_size=1, max_size=6), max_size=40))
def test_every_uid_has_its_row_and_every_other_has_none(known: list[str], asked: list[str]) -> None:
    """Doubles among the asked are answered each."""
    places = {uid: row for row, uid in enumerate(known)}

    assert rows_of(known, asked + known) == [places.get(uid, -1) for uid in asked + known]


@given(known=uids, asked=uids)
def test_uids_that_share_a_hash_are_told_apart(known: list[str], asked: list[str]) -> None:
    """A hit is proven by comparing text, never by the hash alone."""
    places = {uid: row for row, uid in enumerate(known)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "hashed", one_of_three)
        found = rows_of(known, asked + known)

    assert found == [places.get(uid, -1) for uid in asked + known]


def test_nothing_is_found_in_nothing() -> None:
    """Empty on either side is no error."""
    assert rows_of([], ["kiwi"]) == [-1]
    assert rows_of(["kiwi"], []) == []


def test_hashing_in_chunks_gives_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunk bounds memory and nothing else."""
    known = [f"bird-{number}" for number in range(100)]
    monkeypatch.setattr(hashes, "_CHUNK", 7)

    assert rows_of(known, known[::-1]) == list(range(99, -1, -1))


@given(st.lists(st.sampled_from(["a", "b", "c", "dd", "ee", ""]) | st.none(), max_size=12))
def test_what_is_there_more_than_once_is_marked(texts: list[str | None]) -> None:
    """Each of them, and nothing that only shares a hash with another."""
    expected = [texts.count(text) > 1 for text in texts if text is not None]

    for hashing in (hashes.hashed, one_of_three):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lookup, "hashed", hashing)
            found = repeated(pa.array(texts, pa.string())).tolist()

        assert [is_marked for is_marked, text in zip(found, texts, strict=True) if text is not None] == expected

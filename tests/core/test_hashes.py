"""Promises about hashes of texts: they outlive a version, and no way of cutting up a column changes one."""

import pyarrow as pa
import pytest

from reconcile.core import hashes
from reconcile.core.hashes import U64, hashed

# Nothing, less than eight bytes, eight, a few more, and more than twice as many.
TEXTS = ["", "a", "kiwi-12", "kiwi-123", "kiwi-1234", "user-0123456789abcdef", "\N{OWL}"]
KNOWN = {
    "": [
        0x8A0EE3FA3E979187,
        0x5007E6E44FAAFBE2,
        0x838C82F068C57309,
        0x5B0986AB9BDFAFBE,
        0x640E7C06E2A57078,
        0xA9F458FE265C0A51,
        0xB087744601556380,
    ],
    "secret": [
        0x1A268D99F96AC77C,
        0x30507EE5B430F9B7,
        0xE9914D8C4E1FD188,
        0x4AB798FB45AB4E9F,
        0xEDFD0D86576A302B,
        0xC106FDD9F7769D55,
        0x670B54CDAFCB206B,
    ],
}


def told(texts: list[str], secret: str = "") -> list[int]:
    """The hashes of texts, as numbers."""
    return [int(number) for number in hashed(pa.array(texts, pa.string()), secret)]


@pytest.mark.parametrize("secret", KNOWN)
def test_a_hash_is_the_same_in_the_next_version(secret: str) -> None:
    """The ledger may hold a sketch of an earlier one, and whoever is forgotten has to be found in it."""
    assert told(TEXTS, secret) == KNOWN[secret]
    assert [told([text], secret) for text in TEXTS] == [[number] for number in KNOWN[secret]]


def test_without_a_secret_it_is_that_of_the_empty_one() -> None:
    """Whoever looks a uid up needs none."""
    assert hashed(pa.array(TEXTS)).tolist() == KNOWN[""]


@pytest.mark.parametrize("chunk", [1, 3, 7, 65_536])
def test_a_part_of_a_column_has_the_hashes_of_that_part(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Wherever it begins and ends, and in how many pieces it is worked through."""
    monkeypatch.setattr(hashes, "_CHUNK", chunk)
    column = pa.array(TEXTS)

    for start in range(len(TEXTS)):
        for end in range(start + 1, len(TEXTS) + 1):
            assert hashed(column.slice(start, end - start)).tolist() == KNOWN[""][start:end]


def test_of_no_texts_there_are_no_hashes() -> None:
    """They are of the same kind all the same."""
    none = hashed(pa.array([], pa.string()))

    assert (none.dtype, len(none)) == (U64, 0)

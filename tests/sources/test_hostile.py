"""Promises about files that are out to be misread: each is refused with words, or read for what it is."""

from pathlib import Path

import pytest

from tests.sources.builders import cells, ragged, read_text, refused
from tests.sources.hostile import HOSTILE, Hostile


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_a_hostile_file_is_refused_with_words_or_read_for_what_it_is(tmp_path: Path, hostile: Hostile) -> None:
    """By name, by line, and with a remedy."""
    if hostile.words:
        said = refused(tmp_path, hostile.data, name=hostile.file, **hostile.settings)
        message, _, hint = said.partition(" | ")

        assert hostile.words in said
        assert hint
        assert hostile.file in message or message.startswith("source.")
        return

    export = read_text(tmp_path, hostile.data, name=hostile.file, **hostile.settings)

    assert tuple(row[0] for row in cells(export)) == hostile.rows
    assert tuple(ragged(export)) == hostile.out


def test_every_hostile_file_is_told_apart() -> None:
    """By a name of its own, and there are enough of them."""
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE) > 100

"""Promises about the file itself: what is one, and that it stays the same while it is read."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from reconcile.core.mapping import Mapping
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import read_export
from tests.builders import a_mapping
from tests.sources.builders import NOW, cells, read, read_text

PLAIN = "id,name\nkiwi,Kiwi\n"


def meanwhile(act: Callable[[], object]) -> Callable[[tuple[str, ...]], Mapping]:
    """A choice of the mapping during which something happens to the file."""

    def choose(columns: tuple[str, ...]) -> Mapping:
        act()
        return a_mapping("name")

    return choose


def refusal(location: Path | str) -> str:
    """Why a path is refused."""
    with pytest.raises(SourceError) as caught:
        read(location)
    return f"{caught.value.message} | {caught.value.hint}"


def test_the_hash_and_the_time_are_those_of_the_file(tmp_path: Path) -> None:
    """So that a person can tell which export it was."""
    path = tmp_path / "users.csv"
    path.write_text(PLAIN)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    export = read(path)

    assert export.sha256 == sha256(PLAIN.encode()).hexdigest()
    assert export.as_of_unix_s == 1_700_000_000


@pytest.mark.parametrize(
    ("as_of", "unix_s"), [("2026-11-23T02:00:00Z", 1795399200), ("2026-11-23T03:00:00+01:00", 1795399200)]
)
def test_the_settings_may_say_when_the_export_was_true(tmp_path: Path, as_of: str, unix_s: int) -> None:
    """A copy has a time of its own."""
    assert read_text(tmp_path, PLAIN, as_of=as_of).as_of_unix_s == unix_s


@pytest.mark.parametrize(
    ("as_of", "words"), [("yesterday", "is not a time"), ("2026-11-23T02:00:00", "no time zone")]
)
def test_a_time_that_is_none_is_refused(tmp_path: Path, as_of: str, words: str) -> None:
    """Before the file is read."""
    with pytest.raises(SourceError, match=words):
        read_text(tmp_path, PLAIN, as_of=as_of)


def test_a_missing_file_is_refused_with_its_nearest_neighbour(tmp_path: Path) -> None:
    """Most often it is a typing mistake."""
    (tmp_path / "users.csv").write_text(PLAIN)

    assert f"did you mean {tmp_path / 'users.csv'}?" in refusal(tmp_path / "user.csv")
    assert "does not exist" in refusal(tmp_path / "nowhere" / "users.csv")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """Also one that is named like a file."""
    (tmp_path / "users.csv").mkdir()

    assert "is a directory" in refusal(tmp_path / "users.csv")


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    """Nobody writes to it, and nobody waits."""
    os.mkfifo(tmp_path / "users.csv")

    assert "is not a regular file" in refusal(tmp_path / "users.csv")


def test_a_symlink_to_a_file_is_read(tmp_path: Path) -> None:
    """The newest export is often one."""
    (tmp_path / "users-1.csv").write_text(PLAIN)
    (tmp_path / "users.csv").symlink_to("users-1.csv")

    assert cells(read(tmp_path / "users.csv")) == [(2, "kiwi", "Kiwi")]


@pytest.mark.parametrize("change", ["append", "touch", "replace", "delete"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: str) -> None:
    """Whatever was read of it, nobody wrote it like that."""
    path = tmp_path / "users.csv"
    path.write_text(PLAIN)
    (tmp_path / "new.csv").write_text(PLAIN)
    acts: dict[str, Callable[[], object]] = {
        "append": lambda: path.write_text(PLAIN + "owl,Eule\n"),
        "touch": lambda: os.utime(path, (1, 1)),
        "replace": lambda: (tmp_path / "new.csv").replace(path),
        "delete": path.unlink,
    }

    with pytest.raises(SourceError, match="changed while it was read"):
        read_export(Source(location=str(path)), meanwhile(acts[change]), NOW)


def test_the_ending_of_the_name_says_the_format(tmp_path: Path) -> None:
    """In any case; whatever is not known is taken for delimited text."""
    line = '{"id": "kiwi", "name": "Kiwi"}\n'

    assert cells(read_text(tmp_path, PLAIN, name="users.txt")) == [(2, "kiwi", "Kiwi")]
    assert cells(read_text(tmp_path, line, name="users.JSONL")) == [(1, "kiwi", "Kiwi")]
    assert cells(read_text(tmp_path, line, name="users.ndjson")) == [(1, "kiwi", "Kiwi")]

"""Promises about the file itself: what is one, and that it stays the same while it is read."""

import gzip
import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from reconcile.core.mapping import Mapping
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import Rows, read_export, text
from reconcile.sources.delimited import read_delimited
from reconcile.sources.tables import read_json_lines
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


# Files that are none, and files without an end


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from it."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("users.csv")

        assert "a socket is no file" in refusal("users.csv")


def test_a_device_without_an_end_is_refused_at_once() -> None:
    """It would fill the memory."""
    assert "is not a regular file" in refusal("/dev/zero")


def test_a_link_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "users.csv").symlink_to("users.csv")

    assert "a symbolic link leads back to itself" in refusal(tmp_path / "users.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_nobody_may_read_is_refused(tmp_path: Path) -> None:
    """With whose right is missing."""
    (tmp_path / "users.csv").write_text(PLAIN)
    (tmp_path / "users.csv").chmod(0)

    assert "the right to read it" in refusal(tmp_path / "users.csv")


@pytest.mark.parametrize("name", ["a\0b.csv", "x" * 5000, "users.csv/users.csv"])
def test_a_path_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    """Whatever the system says about it."""
    (tmp_path / "users.csv").write_text(PLAIN)

    assert "cannot be read" in refusal(tmp_path / name)


def test_standard_input_that_is_closed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As cron may leave it."""
    monkeypatch.setattr(sys, "stdin", None)

    assert "standard input is closed" in refusal("-")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "standard input is empty"),
        (b'id,name\nkiwi,"Ki', "standard input:2: a quote"),
        (gzip.compress(PLAIN.encode(), mtime=0), "zcat"),
        (b"id,name\nkiwi,\xff\n", "standard input:2: the bytes do not decode"),
    ],
)
def test_standard_input_is_refused_as_a_file_is(monkeypatch: pytest.MonkeyPatch, data: bytes, words: str) -> None:
    """Empty, cut, packed."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    assert words in refusal("-")


@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
@pytest.mark.parametrize("size", [0, 20, 3_000_000])
def test_a_file_that_is_cut_while_it_is_read_is_refused(tmp_path: Path, name: str, size: int) -> None:
    """Also where what was read of it is well-formed."""
    path = tmp_path / name
    line = '{"id": "kiwi", "name": "Kiwi"}\n' if name.endswith("l") else "kiwi,Kiwi\n"
    path.write_text(("" if name.endswith("l") else "id,name\n") + line * 400_000)

    with pytest.raises(SourceError):
        read_export(Source(location=str(path)), meanwhile(lambda: os.truncate(path, size)), NOW)


class Endless(io.RawIOBase):
    """A file that begins somehow and goes on for ever."""

    def __init__(self, start: bytes, again: bytes) -> None:
        self.taken = 0
        self._start = start
        self._again = again * (1 + (1 << 16) // len(again))

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Give some bytes."""
        data = (self._start or self._again)[: len(buffer)]
        self._start = self._start[len(data) :]
        buffer[: len(data)] = data
        self.taken += len(data)
        return len(data)

    def seek(self, *_: int) -> int:
        """Go to where it is."""
        return 0


@pytest.mark.parametrize(
    ("start", "again", "words"),
    [
        (b"", b"x", "the header is longer than 4 MiB"),
        (b'id,"', b"x\n", "the header is longer than 4 MiB"),
        (b"", b"id,name,", "the header is longer than 4 MiB"),
        (b"id,name\n", b"x", ":2: a record from here on is longer than 1 MiB"),
        (b'id,name\nkiwi,"', b"owl,Eule\n", ":2: a record from here on is longer than 1 MiB"),
        (b'id,name\nkiwi,"', b"\r", ":2: a record from here on is longer than 1 MiB"),
        (b"id,name\nkiwi,", b",", ":2: a record from here on is longer than 1 MiB"),
        (b"id,name\n", b"x\n", ":2: from here on, more than 100,000 rows are not of the header's width"),
        (b"id,name\n", b"\0", ":2: there is a NUL byte"),
    ],
)
def test_a_csv_without_an_end_is_refused_after_a_few_mebibytes(start: bytes, again: bytes, words: str) -> None:
    """A line of 5 GB costs no more memory, and no more time, than one of 5 MB."""
    endless = Endless(start, again)
    source = Source(location="users.csv")
    with pytest.raises(SourceError) as caught:
        read_delimited(source, endless, lambda _: a_mapping("name"), 0, lambda _: None, Rows(), is_gzip=False)  # type: ignore[arg-type]

    assert words in caught.value.message
    assert endless.taken <= 8 << 20


@pytest.mark.parametrize(
    ("again", "words"),
    [
        (b"x", ":1: the line is longer than 1 MiB"),
        (b"x\n", "more than 100,000 lines"),
        (b"[", "longer than 1 MiB"),
    ],
)
def test_json_lines_without_an_end_are_refused_after_a_few_mebibytes(again: bytes, words: str) -> None:
    """The same."""
    endless = Endless(b"", again)
    source = Source(location="users.jsonl")
    with pytest.raises(SourceError) as caught:
        read_json_lines(source, endless, lambda _: a_mapping("name"), 0, lambda _: None, Rows(), is_gzip=False)  # type: ignore[arg-type]

    assert words in caught.value.message
    assert endless.taken <= 8 << 20


def test_a_gzip_that_swells_beyond_any_export_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file does not fill the memory."""
    monkeypatch.setattr(text, "_BOMB_BYTES", 1 << 20)
    bomb = gzip.compress(b"id,name\n" + b"kiwi,Kiwi\n" * 1_000_000)
    path = tmp_path / "users.csv.gz"
    path.write_bytes(bomb)

    assert "unpacks to more than 100 times its size" in refusal(path)


def test_a_signal_does_not_end_the_reading(tmp_path: Path) -> None:
    """Whoever set a handler sees it, and the export is read whole."""
    path = tmp_path / "users.csv"
    path.write_text("id,name\n" + "kiwi,Kiwi\n" * 1_000_000)
    code = f"""
import os, signal, threading
from tests.sources.builders import read
seen, done = [], threading.Event()
signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
def disturb():
    while not done.wait(0.002):
        os.kill(os.getpid(), signal.SIGTERM)
thread = threading.Thread(target=disturb)
thread.start()
try:
    rows = len(read({str(path)!r}).frame)
finally:
    done.set()
    thread.join()
raise SystemExit(0 if seen and rows == 1_000_000 else 7)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")

"""
Delimited files made by dice, each with what has to be read from it.

What is expected comes from the rows that the file is written from, never from reading it: the lines are counted
while it is written.
"""

import gzip
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from reconcile.sources import Export, delimited, text
from tests.sources.builders import Cells, read_text

MAPPED = ("id", "name", "role")
_FORMS = (  # Python's name of it, what the settings have to say, what can be written in it
    ("utf-8", "", "é\N{OWL}ß\u2028\u0085\u00a0"),
    ("utf-8-sig", "", "é\N{OWL}"),
    ("utf-8", "utf-8", "é\N{OWL}"),
    ("utf-16", "", "é\N{OWL}"),
    ("utf-16-be", "utf-16-be", "é\N{OWL}"),
    ("windows-1252", "windows-1252", "é–ß"),
    ("shift_jis", "shift_jis", "キウイ"),
)
_ENDS = ("\n", "\r\n", "\r")


@dataclass
class Made:
    """A file as it is being written, and what has to come out of it."""

    dice: Random
    delimiter: str
    codec: str
    settings: dict[str, Any]
    letters: str
    columns: list[str]
    end: str | None
    text: str = ""
    line: int = 1
    rows: Cells = field(default_factory=list)
    out: list[int] = field(default_factory=list)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        """The file's bytes, not packed."""
        return self.text.encode(self.codec)

    def write(self, record: str) -> int:
        """Write a record and its line end; give the line that it starts on."""
        end = self.end or self.dice.choice(_ENDS)
        if self.text.endswith("\r") and not record and end == "\n":
            end = "\r\n"  # a lone line feed would join the line end above it
        start, self.line = self.line, self.line + lines_of(record) + 1
        self.text += record + end
        return start


def lines_of(text: str) -> int:
    """Count line ends of any kind."""
    return text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


def make(dice: Random, *, tidy: bool = False, without: str = "") -> Made:
    """Make a file; a tidy one has neither ragged rows nor blank lines nor anything that has to be guessed."""
    codec, named, letters = dice.choice(_FORMS)
    delimiter = dice.choice(",;\t|^")
    settings = {"encoding": named, "delimiter": delimiter if tidy or delimiter == "^" else ""}
    columns = [*MAPPED, *(f"more{n}" for n in range(dice.randrange(4)))]
    dice.shuffle(columns)
    end = dice.choice([*_ENDS, *_ENDS, None])
    letters = "".join(letter for letter in f'abcN09 ",;\t|^\n\r{letters}' if letter not in without)
    made = Made(dice, delimiter, codec, settings, letters, columns, end)
    _write_header(made, tidy=tidy)
    for number in range(dice.randrange(13)):
        _write_row(made, f"u{number}", kind="good" if tidy else dice.choice(_KINDS))
    if dice.random() < 0.3 and made.rows and not made.text.endswith(("\n\n", "\r\r", "\n\r\n")):
        made.text = made.text.removesuffix("\n").removesuffix("\r")
    return made


_KINDS = ["good"] * 8 + ["wide", "narrow", "blank", "unclean"]


def _write_header(made: Made, *, tidy: bool) -> None:
    if not tidy and made.dice.random() < 0.1:
        made.write(f"sep={made.delimiter}")
    names = [_quoted(name) if made.dice.random() < 0.3 else f" {name}" for name in made.columns]
    if not tidy and made.dice.random() < 0.1:
        made.columns.append("of\nlines")
        names.append(_quoted("of\nlines"))
    made.write(made.delimiter.join(names))


def _write_row(made: Made, uid: str, *, kind: str) -> None:
    if kind == "blank":
        made.write("")
        return
    cells = [uid if name == "id" else _text(made) for name in made.columns]
    if kind == "good":
        start = len(made.text)
        line = made.write(made.delimiter.join(_cell(made, cell) for cell in cells))
        made.spans[uid] = (start, len(made.text))
        made.rows.append((line, *(cells[made.columns.index(name)] for name in MAPPED)))
        return
    written = [_cell(made, cell) for cell in cells]
    if kind == "unclean":
        # In one line: over several it would be a quote left open, and the file is refused.
        written = ["x" if lines_of(cell) else cell for cell in written]
        written[made.dice.randrange(len(written))] = made.dice.choice(['"a"b', '"The "Rock" x"', '""a""'])
    elif kind == "wide":
        written += [_cell(made, _text(made)) for _ in range(made.dice.randint(1, 3))]
    else:
        written = written[: made.dice.randrange(1, len(written))]
        written[0] = written[0] or '""'
    made.out.append(made.write(made.delimiter.join(written)))


def _text(made: Made) -> str:
    return "".join(made.dice.choice(made.letters) for _ in range(made.dice.choice((0, 1, 3, 5, 9))))


def _cell(made: Made, text: str) -> str:
    must = text.startswith('"') or any(character in text for character in f"{made.delimiter}\r\n")
    return _quoted(text) if must or made.dice.random() < 0.3 else text


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def packed(data: bytes, dice: Random) -> bytes:
    """Pack with gzip, in one part or in two."""
    at = dice.choice([0, dice.randrange(len(data) + 1)])
    parts = [data[:at], data[at:]] if at else [data]
    return b"".join(gzip.compress(part, 1, mtime=0) for part in parts)


def read_in_small_blocks(
    patch: pytest.MonkeyPatch, dice: Random, folder: Path, data: bytes, name: str, **settings: Any
) -> Export:
    """Read with borders of chunks and blocks everywhere, which a file of megabytes has now and then."""
    patch.setattr(text, "CHUNK", dice.choice([16, 64, 1 << 20, 1 << 20]))
    patch.setattr(delimited, "_BLOCK", dice.choice([1, 50, 4 << 20]))
    return read_text(folder, data, *MAPPED[1:], name=name, **settings)

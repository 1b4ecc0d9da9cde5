"""
A file's bytes as clean UTF-8 text, with what a reader of lines has to know about them.

Owns decoding and the physical facts: how many lines, which are blank, where a byte does not decode. The
hash is of the bytes as they stand in the file.
"""

import codecs
import gzip
import io
import re
import threading
import zlib
from collections import deque
from hashlib import sha256
from typing import BinaryIO

from reconcile.errors import SourceError

__all__ = ["CHUNK", "HashingReader", "TextStream", "count_lines"]

CHUNK = 1 << 20  # bytes read at a time; a record that is longer is an open quote and no user
_PATIENCE_S, _LEAVING_S = 1.0, 0.05
_BLANK = re.compile(rb"\r\n|\r|\n")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class HashingReader(io.RawIOBase):
    """Passes bytes through and sums them up."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._digest = sha256()

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read some bytes, as the file gives them."""
        data = self._raw.read(len(buffer))
        self._digest.update(data)
        buffer[: len(data)] = data
        return len(data)

    @property
    def hexdigest(self) -> str:
        """The hash of everything that was read so far."""
        return self._digest.hexdigest()


def count_lines(text: bytes) -> int:
    """Count line ends of any kind: CRLF is one."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


class TextStream(io.RawIOBase):
    """
    Decode a file to UTF-8 as it is read.

    `line` is the physical line that the next byte stands on; `blank_lines` the numbers of empty ones;
    `has_quotes` whether a double quote was seen; `ends_with_newline` how it ended.
    Raises (from reads): SourceError with the line where a byte is wrong.
    """

    def __init__(self, raw: BinaryIO, *, name: str, encoding: str = "", is_gzip: bool = False) -> None:
        self.name = name
        self.hashing = HashingReader(raw)
        plain = io.BufferedReader(self.hashing, CHUNK)
        self._bytes: BinaryIO = gzip.GzipFile(fileobj=plain) if is_gzip else plain  # type: ignore[assignment]
        self.line = 1
        self.blank_lines: set[int] = set()
        self.has_quotes = False
        self.ends_with_newline = True
        self._pending = b""
        self._tail: deque[bytes] = deque(maxlen=6)
        self._at_line_start = True
        self._ended = False
        self._is_abandoned = False
        self._told = threading.Event()
        self._decoder = self._begin(encoding)

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Give clean text."""
        try:
            if not self._pending and not self._is_abandoned:
                self._pending = self._next()
        except SourceError:
            self._told.set()
            raise
        given = b"" if self._is_abandoned else self._pending[: len(buffer)]
        buffer[: len(given)] = given
        self._pending = self._pending[len(given) :]
        if not given:
            self._told.set()
        return len(given)

    def abandon(self) -> None:
        """
        Give nothing more, and see that whoever reads ahead in a thread of its own has understood.

        Such a thread, still at work when the process ends, aborts it and takes the exit code along.
        """
        if not self._told.is_set():
            self._is_abandoned = True
            self._told.wait(_PATIENCE_S)
            threading.Event().wait(_LEAVING_S)

    def take_record(self, quote: bytes = b'"') -> bytes:
        """
        Take the first record off, its line end too: up to the first line end outside quotes.

        Empty at the end of the file.
        """
        taken = bytearray()
        quoted = False
        while True:
            if not self._pending:
                self._pending = self._next()
            if not self._pending:
                return bytes(taken)
            for found in re.finditer(rb'"|\r\n|\n|\r', self._pending):
                if found[0] == quote:
                    quoted = not quoted
                elif not quoted:
                    taken += self._pending[: found.end()]
                    self._pending = self._pending[found.end() :]
                    return bytes(taken)
            taken += self._pending
            self._pending = b""
            if len(taken) > 4 * CHUNK:
                raise SourceError(
                    f"{self.name}:1: the header is longer than {4 * CHUNK >> 20} MiB",
                    hint="is a quote left open, or is this no text file?",
                )

    def _begin(self, encoding: str) -> codecs.IncrementalDecoder:
        head = self._read_bytes(CHUNK)
        marked = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", ""))
        chosen = encoding or marked[1] or "utf-8"
        try:
            # Python's codecs that turn bytes into bytes, such as hex, are no encodings of text.
            "".encode(chosen)
            decoder = codecs.getincrementaldecoder(chosen)("strict")
        except LookupError:
            raise SourceError(
                f"source.encoding: Python knows no encoding {encoding!r}",
                hint="for example windows-1252, latin-1, shift_jis",
            ) from None
        # A mark that the named encoding does not have would decode to rubbish in the first header.
        if marked[0] and _norm(chosen) == _norm(marked[1]):
            head = head[len(marked[0]) :]
        self._is_utf8 = _norm(chosen) == "utf8"
        self._encoding = chosen
        self._first = head
        return decoder

    def _next(self) -> bytes:
        text = b""
        # A line end is never given in halves: the reader of CSV would drop the second half, in a cell as well.
        while not self._ended and (not text or text.endswith(b"\r")):
            raw, self._first = self._first or self._read_bytes(CHUNK), b""
            self._ended = not raw
            text += self._decode(raw, final=self._ended)
        if text:
            self._note(text)
        return text

    def _read_bytes(self, size: int) -> bytes:
        try:
            return self._bytes.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(
                f"{self.name}: the gzip data is broken or ends early ({type(error).__name__})",
                hint="write the export again; a copy that was cut short must not be believed",
            ) from None
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror or error}", hint="check the file") from None

    def _decode(self, raw: bytes, *, final: bool) -> bytes:
        try:
            text = self._decoder.decode(raw, final)
        except UnicodeDecodeError as error:
            line = self.line + count_lines(self._encoded(error))
            raise SourceError(
                f"{self.name}:{line}: the bytes do not decode as {self._encoding} ({error.reason})",
                hint="write it as UTF-8, or name the encoding: --set source.encoding=windows-1252",
            ) from None
        return text.encode()

    def _encoded(self, error: UnicodeDecodeError) -> bytes:
        return bytes(error.object[: error.start]).decode(self._encoding, "replace").encode()

    def _note(self, text: bytes) -> None:
        if b"\0" in text:
            line = self.line + count_lines(text[: text.index(b"\0")])
            raise SourceError(
                f"{self.name}:{line}: there is a NUL byte in the text",
                hint="is this no text file, or UTF-16 without a mark? name the encoding: "
                "--set source.encoding=utf-16-le",
            )
        self.has_quotes = self.has_quotes or b'"' in text
        if re.search(rb"(?:^|[\r\n])(?=[\r\n])", text):
            self._note_blank(text)
        self.line += count_lines(text)
        self._at_line_start = text.endswith((b"\n", b"\r"))
        self.ends_with_newline = self._at_line_start
        self._tail.append(text)

    def last_lines(self, line: int) -> str:
        """Give the text from the start of a line near the end on."""
        lines = re.split(r"\r\n|\r|\n", b"".join(self._tail).decode("utf-8", "replace"))
        return "\n".join(lines[-(self.line - line + 1) :])

    def _note_blank(self, text: bytes) -> None:
        line, start, empty_start = self.line, 0, self._at_line_start
        for found in _BLANK.finditer(text):
            if found.start() == start and (start > 0 or empty_start):
                self.blank_lines.add(line)
            line += 1
            start = found.end()


def _norm(encoding: str) -> str:
    return codecs.lookup(encoding).name.replace("-sig", "").replace("-", "").replace("_", "")

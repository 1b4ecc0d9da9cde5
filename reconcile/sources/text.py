"""
A file's bytes as clean UTF-8 text, in chunks.

Owns decoding and what has to hold for any text: the bytes decode, there is no NUL, and it is text at all.
The hash is of the bytes as they stand in the file.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import BinaryIO

from reconcile.errors import SourceError
from reconcile.sources.foreign import foreign_kind

__all__ = ["CHUNK", "RAGGED_LIMIT", "TextStream", "count_lines"]

CHUNK = 1 << 20  # bytes read at a time; a record that is longer is an open quote and no user
RAGGED_LIMIT = 100_000  # rows that are out; more is another format, and would fill the memory
_HEADER_LIMIT = 4 * CHUNK
# Deflate reaches 1000:1; exports of users stay far below 50:1.
_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 100
_GZIP = b"\x1f\x8b"
_HEAD = 4096  # is enough to see what a file is
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class _HashingReader(io.RawIOBase):
    """Passes bytes through, counts them and sums them up."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.digest = sha256()
        self.count = 0

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read some bytes, as the file gives them."""
        data = self._raw.read(len(buffer))
        self.digest.update(data)
        self.count += len(data)
        buffer[: len(data)] = data
        return len(data)


def count_lines(text: bytes) -> int:
    """Count line ends of any kind: CRLF is one."""
    returns = text.count(b"\r")
    return text.count(b"\n") + (returns - text.count(b"\r\n") if returns else 0)


class TextStream:
    """
    Decode a file to UTF-8 as it is read.

    `line` is the physical line that the next byte stands on.
    Raises (from the first moment on): SourceError with the line where a byte is wrong.
    """

    def __init__(
        self, raw: BinaryIO, *, name: str, encoding: str = "", is_gzip: bool = False, may_be_json: bool = False
    ) -> None:
        self.name = name
        self.line = 1
        self._ends_with_newline = True
        self._hashing = _HashingReader(raw)
        self._bytes = self._open(io.BufferedReader(self._hashing, CHUNK), is_gzip=is_gzip)
        self._given = 0
        self._pending = self._held = b""
        self._ended = False
        self._first = self._read_bytes()
        self._check_kind(may_be_json=may_be_json)
        self._encoding = self._choose(encoding)
        self._decoder = codecs.getincrementaldecoder(self._encoding)("strict")

    @property
    def sha256(self) -> str:
        """The hash of everything that was read so far."""
        return self._hashing.digest.hexdigest()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said about how the file ended."""
        return () if self._ends_with_newline else (f"{self.name} has no line end at its end: was it cut short?",)

    def read(self) -> bytes:
        """Give the next chunk of text; empty at the end. A CRLF is never given in halves."""
        text, self._pending = self._pending, b""
        while not text and not self._ended:
            text = self._next()
        return text

    def take_record(self) -> bytes:
        """
        Take the first record off, its line end too: up to the first line end outside quotes.

        Empty at the end of the file.
        """
        taken = bytearray()
        quoted = False
        while chunk := self.read():
            for found in re.finditer(rb'"|\r\n|\n|\r', chunk):
                if found[0] == b'"':
                    quoted = not quoted
                elif not quoted:
                    self._pending = chunk[found.end() :]
                    return bytes(taken) + chunk[: found.end()]
            taken += chunk
            if len(taken) > _HEADER_LIMIT:
                raise SourceError(
                    f"{self.name}:1: the header is longer than {_HEADER_LIMIT >> 20} MiB",
                    hint="is a quote left open, or is this no text file?",
                )
        return bytes(taken)

    def _open(self, plain: io.BufferedReader, *, is_gzip: bool) -> BinaryIO:
        if not is_gzip:
            return plain
        if self._guarded(lambda: plain.peek(2))[:2] not in {_GZIP, b""}:
            raise SourceError(
                f"{self.name} is named .gz and is no gzip data", hint="name it for what it is, or pack it: gzip"
            )
        return gzip.GzipFile(fileobj=plain)  # type: ignore[return-value]

    def _check_kind(self, *, may_be_json: bool) -> None:
        foreign = foreign_kind(self._first[:_HEAD], may_be_json=may_be_json)
        if foreign is not None:
            raise SourceError(f"{self.name} is no text of rows: this is {foreign[0]}", hint=foreign[1])

    def _choose(self, named: str) -> str:
        """Settle the encoding, and take the mark off."""
        mark, marked = next((pair for pair in _MARKS if self._first.startswith(pair[0])), (b"", ""))
        try:
            # Python's codecs that turn bytes into bytes, such as hex, are no encodings of text.
            "".encode(named or "utf-8")
            codecs.getincrementaldecoder(named or "utf-8")
        except (LookupError, ValueError):
            raise SourceError(
                f"source.encoding: Python knows no encoding {named!r}",
                hint="for example windows-1252, latin-1, shift_jis",
            ) from None
        # "utf-16" leaves the byte order to the mark.
        if named and marked and not _norm(marked).startswith(_norm(named)):
            raise SourceError(
                f"{self.name}:1: the file is marked as {marked}, and source.encoding says {named}",
                hint="leave source.encoding out: the mark at the start of the file says it",
            )
        # A mark behind a mark: two programs wrote one each.
        while mark and self._first.startswith(mark):
            self._first = self._first[len(mark) :]
        return marked or named or "utf-8"

    def _next(self) -> bytes:
        raw, self._first = self._first or self._read_bytes(), b""
        self._ended = not raw
        text = self._held + self._decode(raw)
        # A line end is not given in halves: whoever counts lines would count it twice.
        self._held = b"\r" if text.endswith(b"\r") and not self._ended else b""
        text = text[: len(text) - len(self._held)]
        if text:
            self._refuse_nul(text)
            self.line += count_lines(text)
            self._ends_with_newline = text.endswith((b"\n", b"\r"))
        return text

    def _read_bytes(self) -> bytes:
        data = self._guarded(lambda: self._bytes.read(CHUNK))
        self._given += len(data)
        if self._given > max(_BOMB_BYTES, _BOMB_RATIO * self._hashing.count):
            raise SourceError(
                f"{self.name} unpacks to more than {_BOMB_RATIO} times its size: no export of users does that",
                hint="unpack it by hand and look at it",
            )
        return data

    def _guarded(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(
                f"{self.name}: the gzip data is broken, ends early or has a tail ({type(error).__name__})",
                hint="write the export again; a copy that was cut short must not be believed",
            ) from None
        except OSError as error:
            raise SourceError(
                f"{self.name} cannot be read: {error.strerror or error}",
                hint="check the file and the disk it is on",
            ) from None

    def _decode(self, raw: bytes) -> bytes:
        try:
            return self._decoder.decode(raw, self._ended).encode()
        except UnicodeError as error:
            line = self.line + count_lines(self._before(error))
            raise SourceError(
                f"{self.name}:{line}: the bytes do not decode as {self._encoding} ({_reason(error)})",
                hint="write it as UTF-8, or name the encoding: --set source.encoding=windows-1252",
            ) from None

    def _before(self, error: UnicodeError) -> bytes:
        if not isinstance(error, UnicodeDecodeError):
            return b""
        return self._held + bytes(error.object[: error.start]).decode(self._encoding, "replace").encode()

    def _refuse_nul(self, text: bytes) -> None:
        if b"\0" in text:
            at = text.index(b"\0")
            order = "be" if at % 2 == 0 else "le"
            raise SourceError(
                f"{self.name}:{self.line + count_lines(text[:at])}: there is a NUL byte in the text",
                hint="is this no text file, or UTF-16 without a mark? name the encoding: "
                f"--set source.encoding=utf-16-{order}",
            )


def _reason(error: UnicodeError) -> str:
    return error.reason if isinstance(error, UnicodeDecodeError | UnicodeEncodeError) else str(error)


def _norm(encoding: str) -> str:
    return codecs.lookup(encoding).name.replace("-sig", "").replace("-", "").replace("_", "")

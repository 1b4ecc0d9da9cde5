"""
Where quotes stand in delimited text, and whether they stand where the form of CSV has them.

Readers of CSV are lenient: a quote that is not doubled ends a cell early or joins it with the lines below it, and
nobody is told. What is not clean here is not believed.
"""

import re

import numpy as np

__all__ = ["Quoting"]

_QUOTE = ord('"')


class Quoting:
    """The rules for one delimiter. A record is given with its line end, if it has one."""

    def __init__(self, delimiter: str) -> None:
        apart = re.escape(delimiter.encode())
        bare = rb'[^"\r\n%b][^\r\n%b]*+' % (apart, apart)
        quoted = rb'"[^"]*+(?:""[^"]*+)*+"'
        self._clean = _record(rb"(?:%b|%b|)" % (quoted, bare), apart)
        self._closed = _record(rb"(?:%b[^\r\n%b]*+|%b|)" % (quoted, apart, bare), apart)
        self._beside = np.zeros(256, dtype=bool)
        self._beside[[_QUOTE, *b"\r\n", *delimiter.encode()]] = True

    def is_clean(self, record: bytes) -> bool:
        """Whether each quoted cell ends at its closing quote."""
        return self._clean.fullmatch(record) is not None

    def is_closed(self, record: bytes) -> bool:
        """Whether no cell is still open at the end, as a lenient reader sees it."""
        return self._closed.fullmatch(record) is not None

    def are_clean(self, records: bytes) -> bool:
        """
        Whether quotes open and close cells in turn, over many whole records at once.

        Cautious: a bare quote in an unquoted cell is clean, and is not seen as such here.
        """
        text = np.frombuffer(records, dtype=np.uint8)
        at = np.flatnonzero(text == _QUOTE)
        opening, closing = at[0::2], at[1::2]
        before = text[np.maximum(opening - 1, 0)]
        behind = text[np.minimum(closing + 1, len(text) - 1)]
        return len(at) % 2 == 0 and bool(self._beside[before].all() and self._beside[behind].all())


def _record(cell: bytes, apart: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"%b(?:%b%b)*+(?:\r\n|\r|\n)?" % (cell, apart, cell))

"""Tell what a file is that is not what its name says: an Excel workbook, a web page, something packed."""

import re

__all__ = ["foreign_kind"]

_EXPORT = "export it again as CSV, in UTF-8"
_UNPACK = "unpack it first"
_PAGE = "a download probably failed; open it and see what it says"
_PAGE_STARTS = "doctype html|html|head|body|title|h1"

# What the bytes begin with, what that is, and what to do about it; the first that fits counts.
_KINDS = tuple(
    (re.compile(start, re.DOTALL | re.IGNORECASE), what, hint)
    for start, what, hint in (
        (rb"PK\x03\x04.*(?:xl/|\[Content_Types\])", "an Excel workbook", _EXPORT),
        (rb"PK\x03\x04.*opendocument", "an OpenDocument file", _EXPORT),
        (rb"PK[\x03\x05]", "a zip archive", _UNPACK),
        (rb"\xd0\xcf\x11\xe0", "an old Excel workbook or another Office file", _EXPORT),
        (
            rb"\x1f\x8b",
            "gzip data",
            "let its name end in .gz; into standard input: zcat users.csv.gz | reconcile ...",
        ),
        (rb"\x28\xb5\x2f\xfd|\xfd7zXZ\x00|BZh[1-9]|7z\xbc\xaf", "packed (zstd, xz, bzip2 or 7z)", _UNPACK),
        (rb"PAR[1E][\x00-\x1f]", "a Parquet file", "let its name end in .parquet"),
        (rb"SQLite format 3\x00", "a SQLite database", "name it as sqlite:///PATH, with a table or a query"),
        (rb"%PDF-", "a PDF document", _EXPORT),
        (rb"(?:\xef\xbb\xbf)?\s*<!?(?:" + _PAGE_STARTS.encode() + rb")\b", "an HTML page", _PAGE),
        (rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|error|response)\b", "XML, perhaps an error message", _PAGE),
    )
)
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*(?:"|\}|$)')


def foreign_kind(head: bytes, *, may_be_json: bool = False) -> tuple[str, str] | None:
    """Give what a file is that begins like this, and the remedy; nothing where it may be what it claims to be."""
    for start, what, hint in _KINDS:
        if start.match(head):
            return what, hint
    if not may_be_json and _JSON.match(head):
        return "JSON", "write one object a line and let its name end in .jsonl"
    return None

"""
The changes of a page: as values to write out, and packed for the script that filters and sorts them.

Packed they are gzipped JSON in base64: a text from outside cannot end the element that it stands in.
"""

import base64
import zlib
from collections.abc import Sequence

import msgspec

from reconcile.core.outcome import Settled
from reconcile.core.plan import Change, plain
from reconcile.logs import safe

__all__ = ["Row", "pack", "row_of"]

_BYTES = 600_000  # packed; a third more in base64, and with the rest of the page less than a megabyte
_VALUE, _DETAIL = 300, 200  # characters that are shown; changes.csv has all of them
_TOGETHER = 100  # rows between two looks at the size


class Row(msgspec.Struct, array_like=True, frozen=True):
    """One change as the page shows it. `fields` are name, before, after; None is nothing there."""

    uid: str
    action: str
    reasons: tuple[str, ...]
    fields: tuple[tuple[str, str | None, str | None], ...]
    outcome: str
    detail: str
    source_row: int | None


def row_of(change: Change, settled: Settled | None, outcome: str) -> Row:
    """Give a change as the page shows it: foreign texts on one line, and no longer than one reads."""
    before, after = plain(change.before), plain(change.after)
    return Row(
        uid=safe(change.uid),
        action=change.action.value,
        reasons=tuple(change.reasons),
        fields=tuple((safe(name), _shown(before.get(name)), _shown(after.get(name))) for name in change.fields),
        outcome=outcome,
        detail=safe(settled.detail, _DETAIL) if settled else "",
        source_row=change.source_row,
    )


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return safe(value if isinstance(value, str) else msgspec.json.encode(value).decode(), _VALUE)


def pack(rows: Sequence[Row]) -> tuple[str, int]:
    """Pack as many rows as there is room for; also give how many that are."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = bytearray(packer.compress(b"["))
    count = 0
    while count < len(rows) and len(packed) < _BYTES:
        some = [msgspec.json.encode(row) for row in rows[count : count + _TOGETHER]]
        packed += packer.compress(b",".join([b""] * bool(count) + some)) + packer.flush(zlib.Z_SYNC_FLUSH)
        count += len(some)
    packed += packer.compress(b"]") + packer.flush()
    return base64.b64encode(packed).decode(), count

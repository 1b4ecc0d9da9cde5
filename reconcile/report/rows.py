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

_UNPACKED = 12_000_000  # bytes of JSON: what a browser reads in half a second, however well it packs
_END = 100  # bytes that may still come behind the last row, and that packing adds to what cannot be packed
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


def pack(rows: Sequence[Row], room: int) -> tuple[str, int]:
    """Pack as many rows as have room in so many characters; also give how many that are."""
    most = room // 4 * 3 - _END  # base64 writes three bytes as four
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = bytearray(packer.compress(b"["))
    count, left = 0, _UNPACKED
    while some := _fitting(rows[count : count + _TOGETHER], min(most - len(packed), left)):
        raw = b",".join([b""] * bool(count) + some)
        packed += packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)
        left -= len(raw)
        count += len(some)
    packed += packer.compress(b"]") + packer.flush()
    return base64.b64encode(packed).decode(), count


def _fitting(rows: Sequence[Row], room: int) -> list[bytes]:
    """Give the first rows that fit even where nothing of them can be packed."""
    some: list[bytes] = []
    for row in rows:
        written = msgspec.json.encode(row)
        room -= len(written) + 1 + len(written) // 1000
        if room < 0:
            break
        some.append(written)
    return some

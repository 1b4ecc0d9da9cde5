"""One user end to end, for a terminal and as JSON."""

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from reconcile.core.plan import plain
from reconcile.core.trace import Explanation, FieldTrace, RowTrace
from reconcile.logs import safe
from reconcile.report.words import change_words, shown_value

__all__ = ["as_document", "render_explanation"]

_WIDE = 400  # characters of a line: a metadata value can be long


def as_document(found: Explanation) -> dict[str, Any]:
    """Give an explanation as plain JSON; values as a reader of CometChat's API expects them."""
    without_raw = msgspec.structs.replace(found, record=None)
    document: dict[str, Any] = msgspec.to_builtins(without_raw, str_keys=True)
    document["record"] = None if found.record is None else _record(found.record)
    document["decision"] = [
        {
            "action": str(change.action),
            "class": str(change.guard_class),
            "reasons": [str(reason) for reason in change.reasons],
            "before": plain(change.before),
            "after": plain(change.after),
        }
        for change in found.decision
    ]
    return document


def _record(record: Any) -> dict[str, Any]:
    return {
        "active": record.active,
        "values": plain(record.values),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def render_explanation(found: Explanation) -> str:
    """Write an explanation for a terminal."""
    lines = [click.style(safe(found.uid), bold=True)]
    for row in found.rows:
        lines += _row(row, found.quarantined.get(row.source_row, ""))
    lines += [*_directory(found), *_decision(found), *_history(found)]
    return "\n".join(lines)


def _row(row: RowTrace, quarantined: str) -> Iterator[str]:
    yield _title(f"Source row {row.source_row}")
    width = max(len(field.field) for field in row.fields)
    yield from (f"  {safe(field.field):<{width}}  {_field(field)}" for field in row.fields)
    if quarantined:
        yield click.style(f"  quarantined: {safe(quarantined, _WIDE)}", fg="yellow")


def _field(field: FieldTrace) -> str:
    (first, text), *rest = field.steps
    cells = ", ".join(f"{name} {shown_value(cell)}" for name, cell in field.cells.items())
    steps = [f"{first}: {shown_value(text)}"] if first.startswith("template ") else []
    steps += [f"{name}: {shown_value(text)}" for name, text in rest]
    value = safe(shown_value(field.value), _WIDE)
    if field.problem:
        value = click.style(safe(field.problem, _WIDE), fg="red")
    return " -> ".join([*(safe(step, _WIDE) for step in [cells or first, *steps]), value])


def _directory(found: Explanation) -> Iterator[str]:
    if found.record is None:
        yield _title("Directory: no such user")
        return
    yield _title(f"Directory: {'active' if found.record.active else 'deactivated'}")
    width = max(map(len, found.record.values))
    for name, value in plain(found.record.values).items():
        yield f"  {safe(name):<{width}}  {safe(shown_value(value), _WIDE)}"


def _decision(found: Explanation) -> Iterator[str]:
    yield _title(f"Decision: {(found.situation or 'not in the source').replace('_', ' ')}")
    for change in found.decision:
        yield f"  {change.guard_class:<11}  {safe(change_words(change), _WIDE)}"
    if not found.decision:
        yield "  nothing would be written"
    for why in found.why:
        yield f"  {safe(why, _WIDE)}"


def _history(found: Explanation) -> Iterator[str]:
    yield _title("History")
    for past in found.history:
        before, after = past.before, past.after
        words = ", ".join(
            f"{name} {shown_value(before.get(name))} -> {shown_value(after[name])}" for name in after
        )
        told = f"{past.outcome or 'open'}{f' ({past.detail})' if past.detail else ''}"
        yield f"  {past.run_id}  {past.action:<10} {safe(told)}  {safe(words, _WIDE)}".rstrip()
    if not found.history:
        yield "  no run has written to it"


def _title(text: str) -> str:
    return "\n" + click.style(text, bold=True)

"""See that the columns which the mapping names are there."""

from difflib import get_close_matches

from reconcile.core.mapping import Mapping
from reconcile.errors import SourceError

__all__ = ["check_columns"]


def check_columns(
    place: str, columns: tuple[str, ...], mapping: Mapping, *, delimiter: str = "", since: str = ""
) -> None:
    """
    See that each mapped column, and that of `since`, is there exactly once.

    Raises: SourceError with every one that is not.
    """
    faults, hints = [], []
    wanted = [("mapped column", column) for column in mapping.columns]
    for what, column in [*wanted, *([("column of source.since,", since)] if since else [])]:
        count = columns.count(column)
        if count == 0:
            faults.append(f"the {what} {column!r} is missing")
            hints.append(_nearest(column, columns))
        elif count > 1:
            faults.append(f"the {what} {column!r} is there {count} times")
            hints.append("give each column a name of its own")
    if delimiter and not set(mapping.columns) & set(columns):
        hints.append(
            f"do the names stand there, with {delimiter!r} between them? --set source.delimiter=... names another"
        )
    if faults:
        raise SourceError(f"{place}: {'; '.join(faults)}", hint="; ".join(dict.fromkeys(hints)))


def _nearest(column: str, columns: tuple[str, ...]) -> str:
    folded = {name.casefold(): name for name in reversed(columns)}
    near = get_close_matches(column.casefold(), folded, n=1)
    return f"did you mean {folded[near[0]]!r}?" if near else f"there are: {', '.join(columns)[:200]}"

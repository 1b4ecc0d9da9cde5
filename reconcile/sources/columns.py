"""See that the columns which the mapping names are there."""

from difflib import get_close_matches

from reconcile.core.mapping import Mapping
from reconcile.errors import SourceError

__all__ = ["check_columns"]


def check_columns(name: str, columns: tuple[str, ...], mapping: Mapping) -> None:
    """See that each mapped column is there exactly once. Raises: SourceError with every one that is not."""
    faults, hints = [], []
    for column in mapping.columns:
        count = columns.count(column)
        if count == 0:
            near = get_close_matches(column, columns, n=1)
            faults.append(f"the mapped column {column!r} is missing")
            hints.append(f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(columns)[:200]}")
        elif count > 1:
            faults.append(f"the mapped column {column!r} is there {count} times")
            hints.append("give each column a name of its own")
    if faults:
        raise SourceError(f"{name}: {'; '.join(faults)}", hint="; ".join(hints))

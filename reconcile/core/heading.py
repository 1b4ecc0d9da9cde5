"""The header of a plan that was read from a file: whether a run could have written it."""

from datetime import datetime

from reconcile.core.guards import GuardClass
from reconcile.core.metadata import METADATA_PREFIX, metadata_path
from reconcile.core.plan import PlanHeader
from reconcile.core.users import PROFILE_TEXT, fold_uid

__all__ = ["header_flaw"]

_VERDICTS = frozenset({"pass", "held", "released"})
_WRITABLE = frozenset({*PROFILE_TEXT, "role", "tags"})


def header_flaw(header: PlanHeader) -> str:
    """Say what no run writes into the header of a plan; empty where nothing is."""
    guards = [verdict.guard for verdict in header.guards]
    # An undo may put back a key of others, which no mapping names.
    odd = [name for name in header.fields if not _exists(name, private=bool(header.undoes))]
    verdicts = {verdict.verdict for verdict in header.guards}
    numbers = (*header.counts.values(), header.unknown, *(verdict.measured for verdict in header.guards))
    checks = (
        (_has_zone(header.created_at), "created_at is no time with a time zone"),
        (_has_zone(header.source.as_of), "source.as_of is no time with a time zone"),
        (
            set(guards) <= set(GuardClass) and len(set(guards)) == len(guards),
            "its guards are not those of this version",
        ),
        (verdicts <= _VERDICTS, "a guard has a verdict that does not exist"),
        (min(numbers) >= 0, "a count is negative"),
        (not odd, f"{', '.join(odd)} is no field that can be written"),
        (set(header.visible) <= set(header.fields), "a visible field is not managed"),
        (all(fold_uid(uid) for uid in header.witnesses.values()), "a witness is no user"),
    )
    return next((flaw for holds, flaw in checks if not holds), "")


def _has_zone(text: str | None) -> bool:
    try:
        return text is None or datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _exists(name: str, *, private: bool) -> bool:
    if not name.startswith(METADATA_PREFIX):
        return name in _WRITABLE
    try:
        path = metadata_path(name)
    except ValueError:
        return False
    return path is not None and (private or path[0] != "@private")

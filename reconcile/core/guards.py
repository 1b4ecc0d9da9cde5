"""
The limits that keep a class of changes back. Each class is judged by itself: the others go on.

Those that keep a whole source out are in `core.source_guards`.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = [
    "Bases",
    "ChangeGuard",
    "GuardClass",
    "GuardVerdict",
    "judge_again",
    "judge_changes",
    "passing_limit",
]


class GuardClass(StrEnum):
    """What a change can do to a user, from the point of view of somebody who fears it."""

    CREATE = "create"
    UPDATE = "update"
    ROLE_CHANGE = "role_change"
    CLEAR = "clear"
    REACTIVATE = "reactivate"
    REACTIVATE_FOREIGN = "reactivate_foreign"  # whom another hand switched off: only a person lets it pass
    DEACTIVATE = "deactivate"


class ChangeGuard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Held when over both `floor` and `percent` of the base, or over `max`; units: changes, percent."""

    percent: float
    floor: int
    max: int | None = None


class Bases(msgspec.Struct, frozen=True):
    """
    What the percentages of the guards are of, in users; None is "not known".

    Matched active users for what changes users, all users for create, and so on.
    """

    matched_active: int | None
    seen: int | None
    seen_active: int | None
    seen_deactivated: int | None

    def of(self, kind: GuardClass) -> int | None:
        """Give the base of one class."""
        match kind:
            case GuardClass.CREATE:
                return self.seen
            case GuardClass.DEACTIVATE:
                return self.seen_active
            case GuardClass.REACTIVATE | GuardClass.REACTIVATE_FOREIGN:
                return self.seen_deactivated
            case _:
                return self.matched_active


class GuardVerdict(msgspec.Struct, frozen=True):
    """
    What one guard measured. `limit` is the largest number that passes; `base` None is "not known".

    `release` says how to let the class pass once a person has looked; empty where nothing is held.
    `recent` holds, by window of time, how many other users earlier runs changed in this way; only where there were any.
    """

    guard: str
    measured: int
    base: int | None
    limit: int | None
    verdict: str
    release: str = ""
    because: str = ""
    recent: dict[str, int] = {}

    @property
    def is_held(self) -> bool:
        """Whether the guard keeps its class back."""
        return self.verdict == "held"


def passing_limit(base: int | None, guard: ChangeGuard) -> int:
    """
    Give the largest number that passes: over it is over both floor and percent, or over max.

    An unknown base leaves the floor alone to decide.
    """
    share = 0 if base is None else int(base * guard.percent / 100)
    passing = max(guard.floor, share)
    return passing if guard.max is None else min(passing, guard.max)


def judge_changes(
    counts: Mapping[GuardClass, int],
    bases: Bases,
    guards: Mapping[GuardClass, ChangeGuard],
    *,
    run_id: str,
    withheld: Mapping[GuardClass, str] | None = None,
    others: Mapping[str, Mapping[GuardClass, int]] | None = None,
) -> tuple[GuardVerdict, ...]:
    """
    Judge every class of changes.

    `withheld` classes are held whatever their number, with the reason. `others` are, by window of time and class, the
    users that earlier runs changed and this plan does not: together with those of the plan they have to be within the
    limit. A class without a change always passes.
    """
    verdicts = []
    for kind in GuardClass:
        measured, base = counts.get(kind, 0), bases.of(kind)
        # Everybody is missing from an empty directory: that is a migration, and no accident.
        is_migration = kind is GuardClass.CREATE and base == 0
        limit = None if is_migration else passing_limit(base, guards[kind])
        because = (withheld or {}).get(kind, "") if measured else ""
        verdict = GuardVerdict(kind, measured, base, limit, "held" if because else "pass", because=because)
        verdicts.append(judge_again(verdict, others or {}, run_id=run_id))
    return tuple(verdicts)


def judge_again(
    verdict: GuardVerdict, others: Mapping[str, Mapping[GuardClass, int]], *, run_id: str
) -> GuardVerdict:
    """Hold a class that is over its limit with what earlier runs changed; one that is held or released stays so."""
    kind, measured, limit = GuardClass(verdict.guard), verdict.measured, verdict.limit
    recent = {} if limit is None else _beside(measured, others, kind)
    why = _why_over(measured, limit, recent) if limit is not None and verdict.verdict == "pass" else ""
    is_held = verdict.is_held or bool(why)
    release = verdict.release or f"reconcile apply {run_id} --release {kind}={measured}"
    return msgspec.structs.replace(
        verdict,
        verdict="held" if is_held else verdict.verdict,
        release=release if is_held else "",
        because=why or verdict.because,
        recent=recent,
    )


def _beside(measured: int, others: Mapping[str, Mapping[GuardClass, int]], kind: GuardClass) -> dict[str, int]:
    found = {window: classes.get(kind, 0) for window, classes in others.items()} if measured else {}
    return {window: number for window, number in found.items() if number}


def _why_over(measured: int, limit: int, recent: Mapping[str, int]) -> str:
    if measured > limit:
        return f"{measured} is over the limit of {limit}"
    for window, number in recent.items():
        if measured + number > limit:
            both = f"{measured} in this plan and {number} others in the last {window}"
            return f"{both}: {measured + number} users, over the limit of {limit}"
    return ""

"""
What a page shows of a plan: its drift by field and by role, and a sample of its changes.

A survey watches the changes go by, so a plan of a million is read once and never held.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action, Change

__all__ = ["Move", "Survey", "SurveyedChange"]

SurveyedChange = tuple[Change, Settled | None]
_SAMPLE = 10_000
_URGENT = frozenset({Outcome.REJECTED, Outcome.FAILED, Outcome.SKIPPED, Outcome.HELD})
_KEPT = 200  # kinds of role changes: an app has a handful of roles, and nobody reads more


class Move(StrEnum):
    """What an update does to one field."""

    FILLED = "filled"
    CHANGED = "changed"
    CLEARED = "cleared"


@dataclass(slots=True)
class Survey:
    """
    Counts what `watch` lets through.

    `fields` counts the updates by field and what they do to it; `roles` the users by role before and after: None
    before is a user without a role, `created` counts the roles of users that are new. Of more role changes than are
    told apart the rest is in `other_roles`.
    `sample` holds what needs a person first, then the others, each in plan order. `held` are the guard classes that
    are kept back, by name: before a plan is applied nothing else tells.
    """

    size: int = _SAMPLE
    held: frozenset[str] = frozenset()
    total: int = 0
    fields: dict[str, Counter[Move]] = field(default_factory=dict)
    roles: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    created: Counter[str | None] = field(default_factory=Counter)
    other_roles: int = 0
    _urgent: list[SurveyedChange] = field(default_factory=list)
    _others: list[SurveyedChange] = field(default_factory=list)

    def watch(self, changes: Iterable[SurveyedChange]) -> Iterator[SurveyedChange]:
        """Let changes through, and count them."""
        for change, settled in changes:
            self.total += 1
            self._count(change)
            kept = self._urgent if self.outcome(change, settled) in _URGENT else self._others
            if len(kept) < self.size:
                kept.append((change, settled))
            yield change, settled

    @property
    def sample(self) -> tuple[SurveyedChange, ...]:
        """The changes to show, never more than `size`."""
        return (*self._urgent, *self._others[: self.size - len(self._urgent)])

    @property
    def urgent(self) -> int:
        """How many of the sample need a person, and so stand first."""
        return len(self._urgent)

    def outcome(self, change: Change, settled: Settled | None) -> str:
        """Name what became of a change, or will if nobody does anything; empty where it is yet to be applied."""
        if settled is not None:
            return settled.outcome.value
        return Outcome.HELD.value if change.guard_class in self.held else ""

    def _count(self, change: Change) -> None:
        if change.action is Action.CREATE and "role" in change.fields:
            self._count_role(self.created, change.desired["role"])
        if change.action is not Action.UPDATE:
            return
        for name in change.fields:
            before, after = change.before.get(name), change.desired.get(name)
            self.fields.setdefault(name, Counter())[_move(before, after)] += 1
            if name == "role":
                self._count_role(self.roles, (before, after))

    def _count_role(self, counter: Counter, key: object) -> None:  # type: ignore[type-arg]
        if key in counter or len(counter) < _KEPT:
            counter[key] += 1
        else:
            self.other_roles += 1


def _move(before: str | None, after: str | None) -> Move:
    if before is None:
        return Move.FILLED
    return Move.CLEARED if after is None else Move.CHANGED

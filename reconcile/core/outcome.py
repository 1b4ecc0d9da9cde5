"""What became of each change: the vocabulary, and the tally that a report is made from."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from reconcile.core.ours import Left

__all__ = [
    "DID_NOT_STICK",
    "LEFT_ALONE",
    "LOST",
    "UNPROVEN",
    "Known",
    "Outcome",
    "PastChange",
    "Settled",
    "empty_tally",
    "unstuck",
]


DID_NOT_STICK = "did_not_stick"  # how the detail of a rejection begins that CometChat took and did not keep
LEFT_ALONE = "left alone"  # how a detail begins where a write could lose what others keep in that field
UNPROVEN = "unproven"  # how a detail begins where something is not written because no answer would show it

LOST = "the run knows this outcome, and the state file does not have it"


class Outcome(StrEnum):
    """The seven ways a planned change can end."""

    APPLIED = "applied"
    ALREADY = "already"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    HELD = "held"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"


class Settled(msgspec.Struct, frozen=True):
    """
    The outcome of one change.

    `detail` says why in a few words, without personal data; `updated_at` is the directory's own time of the
    record afterwards (unix seconds) and `fingerprint` sums up the managed fields then, both where known. `created_at`
    (unix seconds) is when the record was made that this change created or switched on.
    """

    outcome: Outcome
    detail: str = ""
    updated_at: int | None = None
    fingerprint: str | None = None
    created_at: int | None = None

    @property
    def needs_a_person(self) -> bool:
        """Whether the run is incomplete because of this change."""
        return self.outcome in {Outcome.REJECTED, Outcome.SKIPPED, Outcome.FAILED}


def unstuck(detail: str) -> list[str]:
    """Give the fields of which a detail says that they did not stick; none where it says nothing like that."""
    said, _, named = detail.partition(": ")
    return named.partition(" (")[0].split(", ") if said == DID_NOT_STICK else []


def empty_tally(counts: Mapping[str, int] | None = None) -> Counter[str]:
    """Give a tally that names every outcome, also those that did not occur."""
    tally = Counter({outcome.value: 0 for outcome in Outcome})
    tally.update(counts or {})
    return tally


class Known:
    """What became of each change of one run, as its process knows: a byte a change, whatever happens to the state file."""

    def __init__(self) -> None:
        self._codes = bytearray()

    def note(self, seq: int, outcome: Outcome) -> None:
        """Take in the outcome of one change. Threads may do this together: each has changes of its own."""
        self._codes.extend(bytes(max(0, seq + 1 - len(self._codes))))
        self._codes[seq] = 1 + _OUTCOMES.index(outcome)

    def of(self, seq: int) -> Outcome | None:
        """Give the outcome of one change; None where it has none."""
        code = self._codes[seq] if seq < len(self._codes) else 0
        return _OUTCOMES[code - 1] if code else None

    def tally(self) -> Counter[str]:
        """Count the outcomes; changes without one are not counted."""
        return empty_tally(Counter(_OUTCOMES[code - 1].value for code in self._codes if code))


_OUTCOMES = tuple(Outcome)


class PastChange(msgspec.Struct, frozen=True):
    """
    What a run did about one user, or was about to do; `outcome` None where nobody knows yet.

    `before` and `after` hold the fields that it wrote, as plain JSON; empty where it sent nothing. `updated_at` is the
    directory's time of the record afterwards, `left` the dates that it left, and `intended_at` when this machine
    recorded it; all in unix seconds, and None where not known.
    """

    run_id: str
    seq: int
    uid: str
    action: str
    outcome: str | None
    detail: str
    before: dict[str, Any]
    after: dict[str, Any]
    updated_at: int | None = None
    left: Left | None = None
    intended_at: int | None = None

"""
Known differences: values that CometChat took and did not keep, and when each of them is tried again.

A value that did not stick is tried again 1 day after its first try, 3 days after its second, 7 days after its third,
and then every 7 days. Until somebody mends it, its user is known to differ.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

import msgspec

__all__ = ["REMEDY", "Known", "Tried", "differing", "known_of", "known_words", "tried_words", "waiting"]

REMEDY = "mend the value in the source, unmap the field, or protect the user (policy.protect)"

_DAY_S = 86_400
_WAITS = (1, 3, 7)  # days after the first try, the second, and every later one
_EARLY_S = 3_600  # a nightly job may start a little earlier than the night before
_SHOWN = 5


class Tried(msgspec.Struct, frozen=True):
    """
    A value that CometChat took and did not keep; `value` is empty for a clear.

    `tries` counts the tries of this value. `tried_at` is the time of the last one in unix seconds, None where an older
    version of reconcile made it.
    """

    uid: str
    field: str
    value: str
    tries: int = 0
    tried_at: int | None = None

    @property
    def due_at(self) -> int | None:
        """When it is tried again, in unix seconds; None: now."""
        if self.tried_at is None:
            return None
        return self.tried_at + _DAY_S * _WAITS[min(max(self.tries, 1), len(_WAITS)) - 1]

    def is_due(self, now_unix_s: float) -> bool:
        """Whether it is to be tried again. A last try in the future says that a clock was put back: no reason to wait."""
        if self.tried_at is None or self.due_at is None:
            return True
        return not self.tried_at - _EARLY_S <= now_unix_s < self.due_at - _EARLY_S


class Known(msgspec.Struct, frozen=True):
    """The known differences that a run counted and did not try: (uid, field) in order, and the time of the next try."""

    pairs: tuple[tuple[str, str], ...] = ()
    next_at: int | None = None

    @property
    def users(self) -> int:
        """How many users they are of."""
        return len({uid for uid, _ in self.pairs})


def waiting(tried: Iterable[Tried], now_unix_s: float) -> frozenset[tuple[str, str, str]]:
    """Give (uid, field, value) of those that are not tried again yet."""
    return frozenset((one.uid, one.field, one.value) for one in tried if not one.is_due(now_unix_s))


def known_of(pairs: Collection[tuple[str, str]], tried: Iterable[Tried]) -> Known:
    """Give the known differences of these (uid, field), with the time at which the first of them is tried again."""
    wanted = set(pairs)
    due = [one.due_at for one in tried if (one.uid, one.field) in wanted and one.due_at is not None]
    return Known(tuple(sorted(wanted)), min(due, default=None))


def known_words(known: Known, run_id: str) -> str:
    """Say in a sentence what is known to differ, what mends it, when it is tried again, and how to try it now."""
    values = f"{len(known.pairs)} value{'' if len(known.pairs) == 1 else 's'}"
    when = "" if known.next_at is None else f"; the next try is after {_moment(known.next_at)}"
    return (
        f"{differing(known.users)} (0 new): CometChat took {values} and did not keep "
        f"{'it' if len(known.pairs) == 1 else 'them'}; {REMEDY}{when}; to try now: reconcile retry {run_id}; "
        f"named: {_named(known.pairs)}"
    )


def tried_words(tried: Tried) -> str:
    """Say of one value that it is not tried yet, and when it will be."""
    when = "" if tried.due_at is None else f"; the next try is after {_moment(tried.due_at)}"
    tries = "1 try" if tried.tries == 1 else f"{tried.tries} tries"
    return f"{tried.field}: CometChat took this value and did not keep it ({tries} so far){when}; {REMEDY}"


def differing(users: int) -> str:
    """Say how many users are known to differ."""
    return "1 user is known to differ" if users == 1 else f"{users} users are known to differ"


def _named(pairs: Iterable[tuple[str, str]]) -> str:
    fields: dict[str, list[str]] = {}
    for uid, field in pairs:
        fields.setdefault(uid, []).append(field)
    words = [f"{uid} ({', '.join(names)})" for uid, names in list(fields.items())[:_SHOWN]]
    more = len(fields) - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _moment(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC"

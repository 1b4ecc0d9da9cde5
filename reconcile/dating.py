"""When an export was true: by this machine's clock until an answer of CometChat has told the time, and then by its clock."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from reconcile.core.baseline import Baseline, window
from reconcile.core.freshness import Freshness
from reconcile.core.guards import GuardVerdict
from reconcile.core.plan import PlanSource
from reconcile.core.skew import Moment, by_service
from reconcile.core.source_guards import CLOCK_SLACK_S
from reconcile.errors import DirectoryError
from reconcile.ledger import Ledger
from reconcile.run import Run

__all__ = ["Times", "date_by_service", "freshness", "freshness_of_plan", "iso", "judged_in_time", "unix_of"]

_AHEAD, _BEHIND = "as_of_ahead", "as_of_behind"  # the guards that go by the time alone


class Times(NamedTuple):
    """
    When an export was true, what time it is (unix seconds, by one clock), and the good runs that it is held against.
    """

    then: int
    now: int
    good: tuple[Baseline, ...]


def judged_in_time(
    run: Run, ledger: Ledger, judge: Callable[[Times], tuple[GuardVerdict, ...]]
) -> tuple[Times, tuple[GuardVerdict, ...]]:
    """
    Judge an export by this machine's clock; where nothing but its time is against it, by CometChat's.

    Only then a request is sent, which asks for the time.
    """
    now = int(run.world.now().timestamp())
    moment = ledger.moment or Moment(now, now)
    here = Times(moment.as_of_unix_s, now, window(run.state.baselines()))
    verdicts = judge(here)
    held = {verdict.guard for verdict in verdicts if verdict.is_held}
    # A file of times to come is so by every clock.
    if not held <= {_AHEAD, _BEHIND} or not (_BEHIND in held or (_AHEAD in held and moment.is_given)):
        return here, verdicts
    with suppress(DirectoryError):
        run.directory(()).roles()
    if run.skew is None:
        return here, verdicts
    off = round(run.skew.ahead_s)
    there = Times(here.then if moment.is_given else here.then - off, now - off, _past(here.good, now - off))
    return there, judge(there)


def _past(good: tuple[Baseline, ...], now_unix_s: int) -> tuple[Baseline, ...]:
    """Take the time off good runs that are of times to come: the clock of their night was wrong."""
    latest = now_unix_s + CLOCK_SLACK_S
    return tuple(
        msgspec.structs.replace(one, as_of_unix_s=None)
        if one.as_of_unix_s is not None and one.as_of_unix_s > latest
        else one
        for one in good
    )


def date_by_service(run: Run, ledger: Ledger) -> None:
    """Bring the time of the export to CometChat's clock, where answers told it by now."""
    skew = run.skew
    if ledger.moment is None or skew is None:
        return
    dated = by_service(ledger.moment, skew)
    ledger.source = msgspec.structs.replace(ledger.source, as_of=iso(dated.as_of_unix_s))
    ledger.earliest = iso(dated.earliest_unix_s)


def freshness(run: Run, as_of: str | None, earliest: str | None) -> Freshness:
    """Say what the directory may know better than an export of that time, or at the earliest of that one (ISO 8601)."""
    if as_of is None:
        return Freshness()
    first = unix_of(earliest or as_of)
    return Freshness(unix_of(as_of), run.state.own_writes(first), first)


def freshness_of_plan(run: Run, source: PlanSource) -> Freshness:
    """Say what the directory may know better than the export of a plan."""
    if source.as_of is None or source.earliest is not None:
        return freshness(run, source.as_of, source.earliest)
    # An older version made the plan, or no answer told the time then: it is by this machine's clock.
    given, now = bool(run.settings.source.as_of), run.world.now().timestamp()
    dated = by_service(Moment(unix_of(source.as_of), now, is_given=given), run.skew)
    return freshness(run, iso(dated.as_of_unix_s), iso(dated.earliest_unix_s))


def iso(unix_s: int) -> str:
    """Write a time as reports and plans have it."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat()


def unix_of(moment: str) -> int:
    """Read a time that is ISO 8601, in whole unix seconds."""
    return int(datetime.fromisoformat(moment).timestamp())

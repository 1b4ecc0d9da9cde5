"""What a plan comes to: its changes by action, what the guards compare them with, and what it will cost."""

from collections.abc import Mapping

from reconcile.core.found import Found
from reconcile.core.guards import Bases, GuardClass
from reconcile.core.pacing import RateGroup
from reconcile.core.plan import Action, Forecast

__all__ = ["COSTS", "action_counts", "bases_of", "forecast", "list_cost"]

_UPDATES = (GuardClass.UPDATE, GuardClass.ROLE_CHANGE, GuardClass.CLEAR)
_REACTIVATIONS = (GuardClass.REACTIVATE, GuardClass.REACTIVATE_FOREIGN)
# A look, and a write. What an answer leaves open is read back, which nobody can foretell.
COSTS: dict[Action, dict[RateGroup, int]] = {
    Action.CREATE: {RateGroup.CORE: 1, RateGroup.STANDARD: 1},
    Action.UPDATE: {RateGroup.STANDARD: 2},
}
_PER_PAGE, _OPENING = 1000, 4
_BATCH = 25  # users that one call switches on or off


def action_counts(counts: Mapping[GuardClass, int], held: frozenset[GuardClass]) -> dict[str, int]:
    """Count the changes by action; `held` is a part of the four."""
    return {
        "create": counts.get(GuardClass.CREATE, 0),
        "update": sum(counts.get(kind, 0) for kind in _UPDATES),
        "reactivate": sum(counts.get(kind, 0) for kind in _REACTIVATIONS),
        "deactivate": counts.get(GuardClass.DEACTIVATE, 0),
        "held": sum(counts.get(kind, 0) for kind in held),
    }


def bases_of(found: Found) -> Bases:
    """Give what each guard's percentage is of, as a walk of the whole directory saw it."""
    active = found.counts.seen - found.counts.seen_deactivated
    return Bases(found.counts.matched_active, found.counts.seen, active, found.counts.seen_deactivated)


def list_cost(deactivated: int) -> int:
    """Give the requests that it takes to read the list of so many deactivated users, with its first page to be found."""
    return -(-deactivated // _PER_PAGE) + _OPENING


def forecast(
    due: Mapping[GuardClass, int],
    rates: Mapping[RateGroup, float],
    limits: Mapping[RateGroup, float | None],
    note: str,
) -> Forecast:
    """
    Say what applying will cost: a look and a write for each change that is due, which leaves out what is held.

    `rates` are requests a minute that we may send, `limits` those that the app may, where they are known.
    """
    creates, on = due.get(GuardClass.CREATE, 0), sum(due.get(kind, 0) for kind in _REACTIVATIONS)
    off, updates = due.get(GuardClass.DEACTIVATE, 0), sum(due.get(kind, 0) for kind in _UPDATES)
    core = creates + -(-off // _BATCH) + -(-on // _BATCH)
    # Those to switch on or off are looked at, and of those that are off the date is read back.
    standard = creates + 2 * updates + on + off + min(off, list_cost(off))
    seconds = 60 * max(core / rates[RateGroup.CORE], standard / rates[RateGroup.STANDARD])
    minutes, sent = max(1.0, seconds / 60), {RateGroup.CORE: core, RateGroup.STANDARD: standard}
    share = {
        str(group): round(sent[group] / (limit * minutes), 6) if (limit := limits.get(group)) else None
        for group in RateGroup
    }
    return Forecast(core + standard, core, standard, round(seconds), note, share)

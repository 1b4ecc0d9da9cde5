"""What a person has to have seen: whether a saved plan may be carried out, and what is new in how plans are made."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from reconcile.core.clocks import is_ahead
from reconcile.core.guards import GuardClass, GuardVerdict
from reconcile.core.plan import PlanHeader

__all__ = ["FROM_FUTURE", "Declared", "novelties", "premature", "refusals", "release", "released"]

# A clock that was wrong when the plan was made says nothing about its age.
FROM_FUTURE = (
    "it was made at {}, which is still to come: the clock of this machine was wrong then, or is wrong now"
)
_FOREIGN = GuardClass.REACTIVATE_FOREIGN


class Declared(msgspec.Struct, frozen=True):
    """The mapping and the policy, in words by key, of the last run that wrote."""

    run_id: str
    words: dict[str, str]


def novelties(declared: Mapping[str, str], last: Declared | None) -> list[str]:
    """Say where mapping and policy differ from those of the last run that wrote; nothing where none did."""
    before = declared if last is None else last.words
    return [
        f"{key} is {declared.get(key, 'not set')}, and was {before.get(key, 'not set')} in run {last.run_id}"
        for key in sorted(declared.keys() | before.keys())
        if last is not None and declared.get(key) != before.get(key)
    ]


def refusals(
    header: PlanHeader,
    *,
    app: tuple[str, str],
    settings: Mapping[str, str],
    now: datetime,
    oldest: tuple[float | None, str],
) -> list[str]:
    """
    Say why a plan does not belong here: another app (id and host), other settings, too old, or from the future.

    `settings` are the digests of today; `oldest` is the age limit in seconds (None for none) and as written.
    """
    reasons = []
    if (header.app_id, header.host) != app:
        reasons.append(f"it is for the app {header.app_id} at {header.host}")
    differing = [f"[{name}]" for name, digest in settings.items() if header.settings.get(name) != digest]
    if differing:
        reasons.append(f"{', '.join(differing)} differ from the settings that it was made with")
    made = datetime.fromisoformat(header.created_at)
    if is_ahead(made, now):
        reasons.append(FROM_FUTURE.format(header.created_at))
    age_s = (now - made).total_seconds()
    if oldest[0] is not None and age_s > oldest[0]:
        reasons.append(f"it is older than {oldest[1]}")
    return reasons


def release(header: PlanHeader, ceilings: Mapping[str, int]) -> PlanHeader:
    """
    Let held classes pass that have at most as many changes as a person allowed.

    Raises: ValueError for a ceiling of a class that does not exist, or that only a plan made for it can have.
    """
    wrong = sorted(set(ceilings) - set(GuardClass))
    if wrong:
        raise ValueError(f"no such class: {', '.join(wrong)}; there are {', '.join(GuardClass)}")
    measured = {guard.guard: guard.measured for guard in header.guards}
    if _FOREIGN in ceilings and not measured.get(_FOREIGN):
        raise ValueError(f"this plan has no {_FOREIGN}; make one: reconcile plan --release {_FOREIGN}=N")
    guards = released(header.guards, ceilings)
    held = sum(guard.measured for guard in guards if guard.is_held)
    return msgspec.structs.replace(header, guards=guards, counts={**header.counts, "held": held})


def released(guards: Iterable[GuardVerdict], ceilings: Mapping[str, int]) -> tuple[GuardVerdict, ...]:
    """Give the verdicts under the ceilings that a person gave."""
    return tuple(_released(guard, ceilings) for guard in guards)


def premature(ceilings: Mapping[str, int], *, reactivates: bool) -> list[tuple[str, str]]:
    """Say why these ceilings cannot stand before there is a plan, each with the remedy; nothing where they can."""
    problems = []
    if set(ceilings) - {_FOREIGN}:
        problems.append(("--release goes with the plan of a run", "reconcile apply RUN --release CLASS=N"))
    if _FOREIGN in ceilings and not reactivates:
        remedy = "--set policy.deactivated=reactivate; the plan names everybody it switches on"
        problems.append((f'--release {_FOREIGN} goes with policy.deactivated = "reactivate"', remedy))
    return problems


def _released(guard: GuardVerdict, ceilings: Mapping[str, int]) -> GuardVerdict:
    if guard.is_held and guard.measured <= ceilings.get(guard.guard, -1):
        return msgspec.structs.replace(guard, verdict="released", release="")
    return guard

"""What a person has to have seen: whether a saved plan may be carried out, and what is new in how plans are made."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from reconcile.core.clocks import is_ahead
from reconcile.core.guards import GuardClass, GuardVerdict
from reconcile.core.plan import PlanHeader

__all__ = ["FROM_FUTURE", "Declared", "age_words", "novelties", "premature", "refusals", "release", "released"]

_SOURCE = "source."
_DAY_H = 24

# A clock that was wrong when the plan was made says nothing about its age.
FROM_FUTURE = (
    "it was made at {}, which is still to come: the clock of this machine was wrong then, or is wrong now"
)
_FOREIGN = GuardClass.REACTIVATE_FOREIGN


class Declared(msgspec.Struct, frozen=True):
    """The mapping, the source and the policy, in words by key, of the last run that wrote; of the source as digests."""

    run_id: str
    words: dict[str, str]


def novelties(declared: Mapping[str, str], last: Declared | None, defaults: Mapping[str, str]) -> list[str]:
    """
    Say where mapping, source and policy differ from those of the last run that wrote; nothing where none did.

    A key that one side lacks counts as its default, so that an upgrade alone changes nothing. `defaults` are those of
    this version.
    """
    if last is None:
        return []
    now, before = _filled(declared, defaults), _filled(last.words, defaults)
    keys = sorted(now.keys() | before.keys())
    if not (_names_source(declared) and _names_source(last.words)):
        # Older versions did not record the source: what it was is not known, and most likely the same.
        keys = [key for key in keys if not key.startswith(_SOURCE)]
    return [
        f"{key} has changed since run {last.run_id}"
        if key.startswith(_SOURCE)
        else f"{key} is {now.get(key, 'not set')}, and was {before.get(key, 'not set')} in run {last.run_id}"
        for key in keys
        if now.get(key) != before.get(key)
    ]


def _filled(words: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    return {**defaults, **words}


def _names_source(words: Mapping[str, str]) -> bool:
    return any(key.startswith(_SOURCE) for key in words)


def refusals(
    header: PlanHeader,
    *,
    app: tuple[str, str],
    settings: Mapping[str, str],
    now: datetime,
    oldest: tuple[float | None, str],
    accepts_age: bool = False,
) -> list[str]:
    """
    Say why a plan does not belong here: another app (id and host), other settings, too old, or from the future.

    `settings` are the digests of today; `oldest` is the age limit in seconds (None for none) and as written, and
    `accepts_age` says that a person let it pass.
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
    if oldest[0] is not None and age_s > oldest[0] and not accepts_age:
        reasons.append(f"it is older than {oldest[1]}")
    return reasons


def age_words(age_s: float) -> str:
    """Say how long ago something was."""
    number, unit = round(abs(age_s) / 3600), "hour"
    if number > 2 * _DAY_H:
        number, unit = round(number / _DAY_H), "day"
    side = "ago" if age_s >= 0 else "in the future"
    return f"{number:,} {unit}{'' if number == 1 else 's'} {side}"


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

"""Whether a saved plan may be carried out here and now, and which of its held classes a person released."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from reconcile.core.guards import GuardClass, GuardVerdict
from reconcile.core.plan import PlanHeader

__all__ = ["refusals", "release"]


def refusals(
    header: PlanHeader,
    *,
    app: tuple[str, str],
    settings: Mapping[str, str],
    now: datetime,
    oldest: tuple[float | None, str],
) -> list[str]:
    """
    Say why a plan does not belong here: another app (id and host), other settings, or too old.

    `settings` are the digests of today; `oldest` is the age limit in seconds (None for none) and as written.
    """
    reasons = []
    if (header.app_id, header.host) != app:
        reasons.append(f"it is for the app {header.app_id} at {header.host}")
    differing = [f"[{name}]" for name, digest in settings.items() if header.settings.get(name) != digest]
    if differing:
        reasons.append(f"{', '.join(differing)} differ from the settings that it was made with")
    age_s = (now - datetime.fromisoformat(header.created_at)).total_seconds()
    if oldest[0] is not None and age_s > oldest[0]:
        reasons.append(f"it is older than {oldest[1]}")
    return reasons


def release(header: PlanHeader, ceilings: Mapping[str, int]) -> PlanHeader:
    """
    Let held classes pass that have at most as many changes as a person allowed.

    Raises: ValueError for a ceiling of a class that does not exist.
    """
    wrong = sorted(set(ceilings) - set(GuardClass))
    if wrong:
        raise ValueError(f"no such class: {', '.join(wrong)}; there are {', '.join(GuardClass)}")
    guards = tuple(_released(guard, ceilings) for guard in header.guards)
    held = sum(guard.measured for guard in guards if guard.is_held)
    return msgspec.structs.replace(header, guards=guards, counts={**header.counts, "held": held})


def _released(guard: GuardVerdict, ceilings: Mapping[str, int]) -> GuardVerdict:
    if guard.is_held and guard.measured <= ceilings.get(guard.guard, -1):
        return msgspec.structs.replace(guard, verdict="released", release="")
    return guard

"""What a report says of users that are left alone: those that a rule protects, and those whom others switched off."""

from collections.abc import Iterator, Sequence

from reconcile.core.found import Found
from reconcile.core.guards import GuardClass

__all__ = ["USUALLY_PROTECTED", "banned_notes", "forgotten_notes", "listed", "protection_notes"]

USUALLY_PROTECTED = ("app_system",)  # CometChat's own; most apps do not show it

_SHOWN = 5


def protection_notes(found: Found) -> Iterator[str]:
    """Say whom each pattern of policy.protect protects; one that matches nobody may be misspelt."""
    for pattern, users in found.protected.items():
        if users.count:
            shown = listed(users.first, users.count)
            yield f'protected by "{pattern}" (policy.protect): {users.count} users: {shown}'
        elif pattern not in USUALLY_PROTECTED and found.counts.unmanaged is not None:
            yield f'policy.protect: "{pattern}" matches nobody; is it misspelt?'


def forgotten_notes(found: Found) -> Iterator[str]:
    """Say how many were forgotten, and never who."""
    if found.counts.forgotten:
        yield f"{found.counts.forgotten} users of the source were forgotten: they are left alone"
    if found.counts.forgotten_outside:
        yield (
            f"{found.counts.forgotten_outside} users that CometChat has and the source has not were forgotten: "
            "they are left alone"
        )


def banned_notes(found: Found, *, reactivates: bool) -> Iterator[str]:
    """Say who stays deactivated although our own deactivations are taken back, and how a person changes that."""
    others = found.banned
    if reactivates and others.count:
        yield (
            f"{others.count} users of the source stay deactivated, because another hand did that; all of them, and "
            f"the way back: reconcile plan --release {GuardClass.REACTIVATE_FOREIGN}={others.count}; they are: "
            f"{listed(others.first, others.count)}"
        )


def listed(uids: Sequence[str], count: int | None = None) -> str:
    """Name the first few, and say how many more there are of `count`; of these, where it is left out."""
    count = len(uids) if count is None else count
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return ", ".join(uids[:_SHOWN]) + more

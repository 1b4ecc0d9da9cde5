"""What a report says of users that are left alone: those that a rule protects, and those whom others switched off."""

from collections.abc import Collection, Iterator, Sequence

from reconcile.core.diff import Findings
from reconcile.core.guards import GuardClass

__all__ = ["USUALLY_PROTECTED", "banned_notes", "forgotten_notes", "listed", "protection_notes"]

USUALLY_PROTECTED = ("app_system",)  # CometChat's own; most apps do not show it

_SHOWN = 5


def protection_notes(findings: Findings) -> Iterator[str]:
    """Say whom each pattern of policy.protect protects; one that matches nobody may be misspelt."""
    for pattern, uids in findings.protected_by.items():
        if uids:
            yield f'protected by "{pattern}" (policy.protect): {len(uids)} users: {listed(uids)}'
        elif pattern not in USUALLY_PROTECTED and findings.unmanaged is not None:
            yield f'policy.protect: "{pattern}" matches nobody; is it misspelt?'


def forgotten_notes(findings: Findings) -> Iterator[str]:
    """Say how many were forgotten, and never who."""
    if findings.forgotten:
        yield f"{findings.forgotten} users of the source were forgotten: they are left alone"
    if findings.forgotten_outside:
        yield (
            f"{findings.forgotten_outside} users that CometChat has and the source has not were forgotten: "
            "they are left alone"
        )


def banned_notes(findings: Findings, ours: Collection[str], *, reactivates: bool) -> Iterator[str]:
    """Say who stays deactivated although our own deactivations are taken back, and how a person changes that."""
    off = findings.deactivated_rows["uid"]
    others = [uid for uid in off if uid not in ours] if reactivates else []
    if others:
        yield (
            f"{len(others)} users of the source stay deactivated, because another hand did that; all of them, and "
            f"the way back: reconcile plan --release {GuardClass.REACTIVATE_FOREIGN}={len(others)}; they are: "
            f"{listed(others)}"
        )


def listed(uids: Sequence[str]) -> str:
    """Name the first few, and say how many more there are."""
    more = f" and {len(uids) - _SHOWN} more" if len(uids) > _SHOWN else ""
    return ", ".join(uids[:_SHOWN]) + more

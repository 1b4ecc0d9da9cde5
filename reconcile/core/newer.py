"""What a report says of users that somebody touched in the directory after the export was taken."""

from collections.abc import Iterator

import numpy as np

from reconcile.core.diff import Findings

__all__ = ["newer_cautions", "newer_notes"]

_SHOWN = 3


def newer_notes(findings: Findings, *, updates: bool) -> Iterator[str]:
    """Say how many there are and what becomes of them; `updates` is policy.newer = apply."""
    if findings.newer:
        fate = "updated as the export says" if updates else "left as they are"
        yield (
            f"{findings.newer} drifted users changed in CometChat after the export was made, "
            f"{findings.newer_roles} of them differ in role; they are {fate} (policy.newer)"
        )
    if findings.newer_unmanaged:
        yield (
            f"{findings.newer_unmanaged} users outside the source were created or changed in CometChat after the "
            "export was made; they are never deactivated"
        )


def newer_cautions(findings: Findings, *, updates: bool) -> Iterator[str]:
    """Name the worst case, which a person has to look at: a role that was perhaps bought since, and is undone."""
    if not (updates and findings.newer_roles):
        return
    rows = findings.drifted_rows
    hit = rows["newer"].to_numpy(dtype=bool) & rows["differs role"].to_numpy(dtype=bool)
    first = rows.take(np.flatnonzero(hit)[:_SHOWN])
    shown = [
        f"{uid} ({before} -> {after})"
        for uid, before, after in zip(
            first["uid"], first["actual role"].fillna("none"), first["role"], strict=True
        )
    ]
    more = f" and {findings.newer_roles - len(shown)} more" if findings.newer_roles > len(shown) else ""
    yield (
        f"the plan changes the role of users that changed in CometChat after the export was made: "
        f"{', '.join(shown)}{more}; a role that was bought since would be undone; "
        "plan again with a fresh export, or --set policy.newer=skip"
    )

"""What a report says of users that somebody touched in the directory after the export was taken."""

from collections.abc import Iterator

from reconcile.core.found import Found

__all__ = ["newer_cautions", "newer_notes"]

_SHOWN = 3


def newer_notes(found: Found, *, updates: bool) -> Iterator[str]:
    """Say how many there are and what becomes of them; `updates` is policy.newer = apply."""
    if found.counts.newer:
        fate = "updated as the export says" if updates else "left as they are"
        yield (
            f"{found.counts.newer} drifted users changed in CometChat after the export was made, "
            f"{found.counts.newer_roles} of them differ in role; they are {fate} (policy.newer)"
        )
    if found.counts.newer_unmanaged:
        yield (
            f"{found.counts.newer_unmanaged} users outside the source were created or changed in CometChat after the "
            "export was made; they are never deactivated"
        )


def newer_cautions(found: Found, *, updates: bool) -> Iterator[str]:
    """Name the worst case, which a person has to look at: a role that was perhaps bought since, and is undone."""
    if not (updates and found.counts.newer_roles):
        return
    shown = found.bought.first[:_SHOWN]
    more = f" and {found.counts.newer_roles - len(shown)} more" if found.counts.newer_roles > len(shown) else ""
    yield (
        f"the plan changes the role of users that changed in CometChat after the export was made: "
        f"{', '.join(shown)}{more}; a role that was bought since would be undone; "
        "plan again with a fresh export, or --set policy.newer=skip"
    )

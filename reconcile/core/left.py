"""What a report says of what is left alone: protected users, users that others switched off, and what others keep in a user."""

from collections.abc import Iterator, Mapping, Sequence

from reconcile.core.found import Found
from reconcile.core.guards import GuardClass
from reconcile.core.metadata import Private
from reconcile.core.upsert import HIDES_PRIVATE, NEVER_EMPTIED, ODD, UNSEEN

__all__ = [
    "USUALLY_PROTECTED",
    "banned_notes",
    "forgotten_notes",
    "left_alone_notes",
    "listed",
    "private_words",
    "protection_notes",
    "scope_notes",
]

USUALLY_PROTECTED = ("app_system", "@agentic")  # CometChat's own user and role; most apps do not show them

_SHOWN = 5
_ALLOW = "policy.overwrite_hidden_metadata = true allows it"
_REMEDIES = {
    HIDES_PRIVATE: f"leave metadata unmapped, or {_ALLOW}",
    NEVER_EMPTIED: f"ask CometChat; {_ALLOW}",
    ODD: f"look at these users in CometChat; {_ALLOW}",
    UNSEEN.format("metadata"): (
        "where no user shows metadata, give one user some, or policy.overwrite_hidden_metadata = true allows it"
    ),
}


def protection_notes(found: Found) -> Iterator[str]:
    """Say which users each entry of policy.protect and policy.protect_roles protects; one without any may be misspelt."""
    for key, protected in (("policy.protect", found.protected), ("policy.protect_roles", found.protected_roles)):
        for entry, users in protected.items():
            if users.count:
                word = "user" if users.count == 1 else "users"
                yield f'protected by "{entry}" ({key}): {users.count} {word}: {listed(users.first, users.count)}'
            elif entry not in USUALLY_PROTECTED and found.counts.unmanaged is not None:
                yield f'{key}: "{entry}" matches nobody; is it misspelt?'


def forgotten_notes(found: Found) -> Iterator[str]:
    """Say how many were forgotten, and never who."""
    if found.counts.forgotten:
        yield f"{found.counts.forgotten} users of the source were forgotten: they are left alone"
    if found.counts.forgotten_outside:
        yield (
            f"{found.counts.forgotten_outside} users that CometChat has and the source has not were forgotten: "
            "they are left alone"
        )


def scope_notes(found: Found) -> Iterator[str]:
    """Say how many unmanaged users the scope leaves alone, and how a person includes them."""
    if found.out_of_scope:
        users = "user is" if found.out_of_scope == 1 else "users are"
        yield (
            f"{found.out_of_scope:,} unmanaged {users} not deactivated, because no run created them and no export that "
            'passed its checks held them (policy.unmanaged_scope = "ours"); to include them: '
            "reconcile plan --set policy.unmanaged_scope=all"
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


def private_words(private: Private, users: int, *, overwrites: bool) -> str:
    """
    Say what writing the metadata of so many users may do to `metadata.@private`; empty where there is nothing to say.
    """
    whose = f"{users:,} user{'' if users == 1 else 's'}"
    if not users or private is Private.SHOWN:
        return ""
    if private is Private.HIDDEN and overwrites:
        return f"this plan erases metadata.@private of {whose}: policy.overwrite_hidden_metadata allows it"
    if private is Private.HIDDEN:
        return (
            f"CometChat hides metadata.@private, so metadata of {whose} is not written; {_REMEDIES[HIDES_PRIVATE]}"
        )
    return (
        "no answer of CometChat has shown metadata.@private (e-mail and phone for notifications) so far. If CometChat "
        f"hides it, writing the metadata of {whose} erases it there. Ask CometChat; until then leave metadata unmapped, "
        "or name these users in policy.protect"
    )


def left_alone_notes(counts: Mapping[str, int], run_id: str) -> Iterator[str]:
    """Say how many changes left a field alone, by the reason, and what to do about it."""
    for why, number in sorted(counts.items()):
        remedy = "; ".join(filter(None, (f"to try again: reconcile retry {run_id}", _REMEDIES.get(why, ""))))
        yield f"{number:,} change{'' if number == 1 else 's'} left fields as they are, because {why}; {remedy}"


def listed(uids: Sequence[str], count: int | None = None) -> str:
    """Name the first few, and say how many more there are of `count`; of these, where it is left out."""
    count = len(uids) if count is None else count
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return ", ".join(uids[:_SHOWN]) + more

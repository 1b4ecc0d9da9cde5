"""
What is sent for a change: the bodies of the calls, and what an answer proves of them.

Pure. Metadata is always written whole, built on the record of the look right before the write, because nobody
documents whether an update merges or replaces it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from reconcile.core.metadata import (
    Path,
    RawObject,
    managed_metadata,
    metadata_field,
    metadata_path,
    with_value,
)
from reconcile.core.plan import Change
from reconcile.core.users import Record, as_json

__all__ = [
    "Verification",
    "create_body",
    "replaced_whole",
    "replacing_bodies",
    "restoring_body",
    "update_bodies",
    "verify",
    "without",
]


def create_body(change: Change) -> dict[str, Any]:
    """Give the POST body: the uid and every desired value that is not empty."""
    values = {field: text for field, text in change.desired.items() if text is not None}
    body: dict[str, Any] = {"uid": change.uid}
    body |= {field: as_json(field, text) for field, text in values.items() if metadata_path(field) is None}
    metadata: dict[str, msgspec.Raw] = {}
    for field, text in values.items():
        path = metadata_path(field)
        metadata = metadata if path is None else with_value(metadata, path, text)
    return body | ({"metadata": metadata} if metadata else {})


def update_bodies(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record
) -> tuple[dict[str, Any], ...]:
    """
    Give the least PUT bodies that write `fields`.

    Two where something is set and something is unset: what one call that does both means is not documented.
    """
    sets: dict[str, Any] = {}
    unset: list[str] = []
    metadata = look.metadata
    touches_metadata = False
    for field in fields:
        path, text = metadata_path(field), desired[field]
        if path is not None:
            touches_metadata = True
            metadata = with_value(metadata, path, text)
        elif text is None and field != "tags":
            unset.append(field)
        else:
            sets[field] = as_json(field, text) if text is not None else []
    if touches_metadata and metadata:
        sets["metadata"] = metadata
    elif touches_metadata:
        # Nothing foreign is left in it, so nothing foreign goes with it.
        unset.append("metadata")
    return tuple(body for body in (sets, {"unset": unset} if unset else {}) if body)


def replaced_whole(bodies: Iterable[Mapping[str, Any]], look: Record) -> msgspec.Raw | None:
    """Give the metadata of a user, whole, as it was seen, where one of these bodies replaces it; None where none does."""
    touches = any("metadata" in body or "metadata" in body.get("unset", ()) for body in bodies)
    if look.odd is not None:
        return look.odd if touches else None
    return msgspec.Raw(msgspec.json.encode(look.metadata)) if touches and look.metadata else None


def replacing_bodies(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record
) -> tuple[dict[str, Any], ...]:
    """
    Give the bodies that take metadata keys away where an update only merges: unset it all, then write the rest.

    Empty where that is not needed, or where something would go that is not ours to write back.
    """
    gone = [path for path in managed_metadata(fields) if desired[metadata_field(path)] is None]
    rest = without(look.metadata, gone)
    foreign = without(look.metadata, managed_metadata(desired))
    if rest == look.metadata or foreign:
        return ()
    return ({"unset": ["metadata"]}, *([{"metadata": rest}] if rest else []))


def restoring_body(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record, whole: RawObject
) -> dict[str, Any] | None:
    """
    Give the body that puts back what a replacement took away with the rest; None where all is there.

    `whole` is the metadata object as it was before. Between the two calls of `replacing_bodies` a run may be
    killed, or an answer lost, and then the keys that were to stay are gone, too.
    """
    gone = [path for path in managed_metadata(fields) if desired[metadata_field(path)] is None]
    missing = {name: text for name, text in without(whole, gone).items() if name not in look.metadata}
    return {"metadata": {**look.metadata, **missing}} if missing else None


def without(metadata: RawObject, paths: Iterable[Path]) -> RawObject:
    """Give a metadata object less what stands at these paths."""
    for path in paths:
        metadata = with_value(metadata, path, None)
    return metadata


class Verification(msgspec.Struct, frozen=True):
    """What an answer proves of the fields that were written: those that agree not, and those it omits."""

    differing: tuple[str, ...]
    unshown: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every written field was seen to hold what was sent."""
        return not self.differing and not self.unshown


def verify(
    fields: Iterable[str], desired: Mapping[str, str | None], look: Record, shows: frozenset[str]
) -> Verification:
    """
    Compare what an answer shows with what was written.

    `shows` are the groups (`tags`, `metadata`) that this kind of answer is known to carry: only there does
    the absence of a group mean that it is empty.
    """
    differing: list[str] = []
    unshown: list[str] = []
    for field in fields:
        group = "metadata" if metadata_path(field) is not None else field
        hidden = group in {"tags", "metadata"} and group not in look.shown
        if hidden and (group not in shows or desired.get(field) is not None):
            unshown.append(field)
        elif desired.get(field) != look.values.get(field):
            differing.append(field)
    return Verification(tuple(differing), tuple(unshown))

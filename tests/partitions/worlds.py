"""Exports and directories of every kind, and one way to be told of them for comparisons of either kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from reconcile.core.changes import list_changes
from reconcile.core.diff import Comparison
from reconcile.core.findings import Differences
from reconcile.core.found import Decided, Found, conclude
from reconcile.core.frame import Desired, desire, with_roles
from reconcile.core.freshness import Freshness
from reconcile.core.guards import GuardClass
from reconcile.core.mapping import ColumnKind
from reconcile.core.ours import Left
from reconcile.core.plan import PlanPolicy, encode_change
from reconcile.core.recent import Recent
from reconcile.core.scope import Scope, hashes_of, narrowed, without
from reconcile.core.tombstones import forgotten_among, tombstone
from reconcile.core.users import DirectoryUser
from reconcile.partitions.engines import Engine
from reconcile.partitions.parted import Parted, Spill
from reconcile.partitions.shelves import Folder, Shelf
from reconcile.partitions.splitting import Splitter
from reconcile.partitions.tasks import Part
from reconcile.partitions.walked import Walked
from reconcile.sources import Rows
from tests.builders import a_block, a_mapping, a_raw_frame, a_typed, a_user

MAPPING = a_mapping("name", "avatar", "role", "tags", "metadata.a", a_typed("n", ColumnKind.NUMBER))
PROTECT = ("app_system", "bot-*")
PROTECT_ROLES = ("@agentic", "staff")
ROLES = frozenset({"default", "vip", "staff"})
SECRET = "salt"
AS_OF = 100
OFF = 400


@dataclass(frozen=True)
class World:
    """An export, what the list shows page by page, the deactivated, and what a look at a user says."""

    rows: list[dict[str, str | None]]
    pages: list[list[DirectoryUser]]
    off: list[DirectoryUser]
    looks: dict[str, DirectoryUser | str | None]
    tombstones: frozenset[str]
    ours: dict[str, int]
    decided: Decided


def draw(dice: Random, size: int) -> World:
    """Draw a world of about so many users."""
    uids = [f"user-{n}" for n in range(size)] + [f"bot-{n}" for n in range(2)] + ["app_system"]
    rows = [_row(dice, uid) for uid in uids if dice.random() < 0.8]
    # Doubles in another spelling, rows that name nobody, and two that a forgotten user may have.
    rows += [_row(dice, dice.choice(uids).upper()) for _ in range(size // 10)]
    rows += [_row(dice, bad) for bad in ("", "a b", "null") if dice.random() < 0.5]
    dice.shuffle(rows)
    active = [
        _user(dice, uid) for uid in [*uids, *(f"Other-{n}" for n in range(size // 5))] if dice.random() < 0.8
    ]
    dice.shuffle(active)
    off = [_user(dice, uid, deactivated_at=OFF) for uid in uids if dice.random() < 0.15]
    # A page that moved shows some twice; the list may show a deactivated one.
    shown = [*active, *dice.sample(active, size // 10), *dice.sample(off, len(off) // 4)]
    step = dice.randrange(3, 40)
    looks: dict[str, DirectoryUser | str | None] = {}
    for uid in uids:
        looks[uid] = dice.choice([None, None, "unknown", _user(dice, uid), _user(dice, uid, deactivated_at=OFF)])
    gone = dice.sample([*uids, "other-1"], size // 15)
    policy = PlanPolicy(
        update_newer=dice.random() < 0.5,
        deactivate_unmanaged=dice.random() < 0.7,
        reactivate=dice.random() < 0.7,
        reactivate_foreign=dice.random() < 0.3,
    )
    left = [Left(1, OFF), Left(200, OFF), Left(1, OFF + 1), Left(between=(OFF - 1, OFF + 1)), Left()]
    ours = {uid: dice.choice(left) for uid in dice.sample(uids, size // 3)}
    stuck = frozenset((uid, "name", "New") for uid in dice.sample(uids, size // 3))
    return World(
        rows,
        [shown[start : start + step] for start in range(0, len(shown), step)],
        off,
        looks,
        frozenset(tombstone(uid, SECRET) for uid in gone),
        dict.fromkeys(dice.sample(uids, size // 5), 250),
        Decided(
            policy,
            ours,
            stuck,
            _recent(dice, [*uids, "other-1"]),
            known=stuck | {(uid, "avatar", "") for uid in [*uids[::3], "other-1", "nobody"]},
        ),
    )


def _recent(dice: Random, uids: list[str]) -> Recent:
    kinds = dice.sample(list(GuardClass), 4)
    return {"20h": {kind: pa.array(dice.sample(uids, len(uids) // 3), pa.string()) for kind in kinds}}


def _row(dice: Random, uid: str) -> dict[str, str | None]:
    return {
        "id": uid,
        "name": dice.choice(["Kiwi", "New", "New", "x" * 101]) if dice.random() < 0.3 else "New",
        "avatar": dice.choice([None, "", "https://example.org/a"]),
        "role": dice.choice(["", "default", "VIP", "VIP", "VIP", "emperor", "Staff"]),
        "tags": dice.choice(["", "a|b", "c"]),
        "metadata.a": dice.choice(["", "x"]),
        "metadata.n": dice.choice(["", "1", "1.0"]),
    }


def _user(dice: Random, uid: str, **but: Any) -> DirectoryUser:
    facts: dict[str, Any] = {
        "name": dice.choice(["Kiwi", "New"]),
        "avatar": dice.choice([None, "https://example.org/a"]),
        "role": "@Agentic" if dice.random() < 0.1 else dice.choice(["default", "vip"]),
        "tags": dice.choice([["a", "b"], ["c"]]),
        "metadata": dice.choice([{}, {"a": "x", "n": 1}]),
        "created_at": dice.choice([1, 200]),
        "updated_at": dice.choice([None, 50, 300]),
    }
    return a_user(uid=uid, **(facts | but))


def raw_pieces(world: World) -> Iterator[pa.Table]:
    """The export as a reader gives it: an empty piece, and then a few at a time."""
    frame = a_raw_frame(world.rows, MAPPING.columns)
    table = pa.table({name: pa.array(frame[name]) for name in frame.columns})
    table = pa.table({name: table[name].combine_chunks() for name in table.column_names})
    yield table.slice(0, 0)
    for start in range(0, len(table), 50):
        yield table.slice(start, 50)


def whole(world: World) -> "Outcome":
    """What the comparison in memory comes to."""
    rows = Rows()
    for piece in raw_pieces(world):
        rows.add(piece)
    desired: Desired = with_roles(desire(rows.joined(), MAPPING), ROLES, PROTECT_ROLES)
    comparison = Comparison(
        desired,
        protect=PROTECT,
        protect_roles=PROTECT_ROLES,
        freshness=Freshness(AS_OF, world.ours),
        forgotten=lambda uids: forgotten_among(uids, SECRET, world.tombstones),
    )
    hints = _tell(world, comparison)
    findings, found = conclude(
        comparison.close(whole=True, hidden=frozenset({"tags"}), known=world.decided.known), world.decided
    )
    uids = [*map(str, desired.users["uid"])]
    known = without(hashes_of(uids, SECRET), forgotten_among(uids, SECRET, world.tombstones), SECRET)
    return Outcome(desired, desired.only(_some(world)), hints, *_planned(world, findings, found), known.tolist())


def in_partitions(world: World, shelf: Shelf | Path, engine: Engine, number: int) -> "Outcome":
    """What the comparison in so many partitions comes to."""
    shelf = Folder(shelf) if isinstance(shelf, Path) else shelf
    spill = Spill((20, 1 << 30), lambda: Splitter(shelf, "source", number))
    spill.mapping = MAPPING
    for piece in raw_pieces(world):
        spill.add(piece)
    assert not len(spill.joined())
    assert spill.split is not None
    template = Part(shelf, 0, 1, MAPPING, SECRET)
    nothing: frozenset[str] = frozenset()
    checked = Parted.checked(spill.split, shelf, engine, template, (), sentinels=nothing, collided=nothing)
    desired = checked.with_roles(ROLES, PROTECT, PROTECT_ROLES, world.tombstones)
    walked = Walked(desired, uncompared=frozenset(), freshness=Freshness(AS_OF, world.ours))
    hints = _tell(world, walked)
    gathered, found = walked.conclude(whole=True, hidden=frozenset({"tags"}), decided=world.decided)
    known = desired.user_hashes().tolist()
    return Outcome(desired, desired.only(_some(world)), hints, *_planned(world, gathered, found), known)


def _planned(world: World, differences: Differences, found: Found) -> tuple[Found, list[bytes]]:
    """What is found and planned where every second user outside the export is out of scope."""
    scope = Scope(hashes_of((f"other-{n}" for n in range(0, 1_000, 2)), SECRET), SECRET)
    changes = list_changes(differences, world.decided.policy, world.decided.ours, scope)
    return narrowed(found, differences, scope), [encode_change(change) for change in changes]


class Outcome:
    """Everything that a plan and a report are made of, or a run over a few users."""

    def __init__(
        self,
        desired: Desired | Parted,
        few: Desired,
        hints: list[Any],
        found: Found,
        changes: list[bytes],
        known: list[int],
    ) -> None:
        self.source = (desired.rows, desired.valid, desired.nameless, desired.quarantined)
        self.few = (few.rows, few.quarantined, few.users.to_dict("records"))
        self.hints = hints
        self.found = found
        self.changes = changes
        self.known = known

    def __eq__(self, other: object) -> bool:
        """Whether all of it is the same."""
        return isinstance(other, Outcome) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _some(world: World) -> set[str]:
    return {uid for at, uid in enumerate(world.looks) if at % 7 == 0}


def _tell(world: World, comparing: Comparison | Walked) -> list[Any]:
    """
    Both walks, the disputes, a look at everybody who was not seen, and the disputes that this left.

    Give what was asked in between: how many are looked for, who has tags and metadata, who is disputed, who not seen.
    """
    hints: list[Any] = [len(comparing.unseen())]
    hints += [comparing.likely(group, tuple(world.looks)) for group in ("tags", "metadata")]
    for page in world.pages:
        comparing.see(_block(page))
    comparing.see_deactivated(_block(world.off))
    hints.append(comparing.disputed())
    _settle(world, comparing)
    hints.append(sorted(comparing.unseen()))
    news = {uid for uid in world.looks if comparing.is_news(pa.array([uid]))}
    assert news.issuperset(comparing.unseen())
    assert len(news) < len(world.looks)
    seen: list[DirectoryUser] = []
    for uid in comparing.unseen():
        match world.looks[uid]:
            case "unknown":
                comparing.settle_unknown([uid])
            case DirectoryUser() as user:
                seen.append(user)
    comparing.see(_block(seen))
    hints.append(comparing.disputed())
    _settle(world, comparing)
    comparing.settle_unseen()
    return hints


def _settle(world: World, comparing: Comparison | Walked) -> None:
    for uid in comparing.disputed():
        look = world.looks.get(uid)
        if look == "unknown":
            comparing.settle_unsure(uid)
        elif isinstance(look, DirectoryUser) and not look.deactivated_at:
            comparing.settle_active(uid)
        else:
            comparing.settle_deactivated(uid)


def _block(users: list[DirectoryUser]) -> pa.Table:
    return a_block(*users, fields=MAPPING.fields)

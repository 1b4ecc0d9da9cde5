"""
Dice to worlds: a directory, exports of one night or two, a mapping, a policy, guards, a service, and bad weather.

Cells and records are drawn from small pools, so that agreement, drift, collisions and near misses are all
common. Nothing here knows the rules; `oracle` does.
"""

import csv
import io
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

__all__ = ["CLASSES", "KINDS", "Night", "World", "draw_world", "export", "settings"]

LONG_AGO = 1_600_000_000
AGE_S = 3600  # of each export when its run starts
CLASSES = ("create", "update", "role_change", "clear", "reactivate", "deactivate")

# Managed field -> how its cell is read.
KINDS = {
    "name": "name",
    "avatar": "url",
    "link": "url",
    "role": "role",
    "tags": "tags",
    "statusMessage": "message",
    "metadata.country": "text",
    "metadata.visits": "number",
    "metadata.vip": "boolean",
    "metadata.prefs": "json",
    "metadata.address.city": "text",
}
CELLS = {
    "name": ["Wren", "Ada Lovelace", "O'Brien, Pat", 'Zoë "Z" 🦆', "  Wren ", "山田", "1e5", "two\nlines", "=1+1"],
    "url": [
        "",
        "",
        "https://img.example.com/1.png",
        "https://img.example.com/2.png",
        " https://x.example.com/?a=1,2 ",
    ],
    "role": ["", "free", "pro", "premium", "Premium", " default ", "moderator", "gold"],
    "tags": ["", "", "a", "a|b", "b | a", "a||a|", "x|y|z"],
    "message": ["", "Hello", "  two words ", "0"],
    "text": ["", "", "NZ", "ES", " NZ ", "0012", "NA", "null", "[1]"],
    "number": ["", "1", "1.0", "2.5", "-3", "1e2", "0"],
    "boolean": ["", "yes", "TRUE", "1", "no", "f"],
    "json": ["", '{"a": 1, "b": [1, 2]}', '{"b": [1, 2.0], "a": 1.0}', '"text"', "[1, null]", "null"],
}
BAD_CELLS = {
    "name": ["", "   ", "n" * 101, "🦆" * 51],
    "url": ["not a url", "http://", "https://x.example.com/" + "p" * 3000],
    "role": ["ghost", "no role", "r" * 101],
    "tags": ["|".join(map(str, range(26))), "t" * 101],
    "number": ["one", "1,5", "NaN"],
    "boolean": ["maybe", "2"],
    "json": ["{", "nope"],
}
VALUES: dict[str, list[Any]] = {
    "name": ["Wren", "Ada Lovelace", "O'Brien, Pat", "Somebody", "two\nlines"],
    "url": [None, "https://img.example.com/1.png", "https://img.example.com/2.png"],
    "role": ["default", "premium", "moderator"],
    "tags": [None, ["a"], ["b", "a"], ["x", "y", "z"], ["old"]],
    "message": [None, "Hello", "Gone", "0"],
    "text": [None, "NZ", "ES", "0012", 7, ""],
    "number": [None, 1, 1.0, 2.5, 100, "1", True],
    "boolean": [None, True, False, 1, "yes"],
    "json": [None, {"a": 1, "b": [1, 2]}, "text", [1, None], {"a": 2}],
}
FOREIGN: list[dict[str, Any]] = [
    {},
    {},
    {"theme": "dark"},
    {"theme": "dark", "n": 12345678901234567890},
    {"nothing": None},
    {"@private": {"email": "wren@example.com"}},
    {"@private": {"email": "ada@example.com"}, "crm": {"id": 7, "tags": ["x"]}},
]
NO_OBJECTS: list[Any] = ["some text", [1, 2], 7, True]  # what metadata may be, beside an object
AGENT = "@agentic"
BAD_UIDS = ["", "  ", "ow l", "0", "NULL", "undefined", "a.b@example.com", "u" * 101, "\u212alvin", "ü1"]
PROTECT = [["app_system"], ["app_system", "u1*"], ["app_system", "*-b", "nobody-*"], ["U2?"], []]
# Switches whose answers the oracle has rules for; whatever is left out stays as the profile has it.
TURNED = {
    "get_deactivated": ["404", "200"],
    "default_list": ["active", "all"],
    "deactivated_flags": ["honoured", "honoured", "ignored"],
    "create_over_deactivated": ["conflict", "revive"],
    "conflict_code": ["ERR_UID_ALREADY_EXISTS", "ERR_BAD_REQUEST"],
    "conflict_status": ["400", "409"],
    "metadata_put": ["replace", "merge"],
    "get_metadata": ["shown", "hidden"],
    "echo_metadata": ["shown", "hidden"],
    "private_metadata": ["shown", "hidden", "hidden"],
    "empty_metadata": ["dropped", "list", "object"],
    "empty_tags": ["clear", "ignore", "reject"],
    "get_tags": ["shown", "hidden"],
    "echo_tags": ["shown", "hidden"],
    "list_order": ["newest", "oldest", "name", "presence"],
    "page_zero": ["first", "reject", "zero_based"],
    "total_pages": ["next", "true"],
    "role_case": ["folded", "exact"],
    "rate_headers": ["both", "hyphenated", "joined", "none"],
    "bulk_group": ["split", "core", "standard"],
    "create_status": ["200", "201"],
    "reactivate_answer": ["lists", "map"],
    "uid_underscore": ["legal", "legal", "illegal"],
    "put_deactivated": ["404", "200"],
    "same_put": ["stamps", "keeps"],
    "unset_and_set": ["unset_wins", "set_wins"],
    "unset_other": ["reject", "ignore", "clear"],
    "empty_string": ["reject", "ignore", "clear"],
    "null_value": ["ignore", "clear", "reject"],
}
_WRITES = {"method": "PUT,POST,DELETE", "path": "/users*"}
WEATHER: list[dict[str, Any]] = [
    {"kind": "status", "code": 429, "error": "ERR_TOO_MANY_REQUESTS", "every": 4},
    {"kind": "status", "code": 503, "every": 3, **_WRITES},
    {"kind": "status", "code": 500, "when": "after", "every": 2, **_WRITES},
    {"kind": "status", "code": 502, "body": "html", "every": 3},
    {"kind": "status", "code": 404, "body": "html", "method": "GET", "path": "/users/*", "every": 2},
    {"kind": "reset", "every": 3, **_WRITES},
    {"kind": "reset", "when": "after", "every": 2, **_WRITES},
    {"kind": "truncated_json", "every": 3},
    {"kind": "cut_gzip", "every": 4},
    {"kind": "wrong_content_type", "every": 2},
    {"kind": "stale_read", "ms": 40, "method": "GET", "times": 20},
    {"kind": "short_page", "rows": 3, "method": "GET", "path": "/users", "times": 3},
    {"kind": "repeat_page", "method": "GET", "path": "/users", "times": 2},
    {"kind": "status", "code": 503, "nth": 9, "times": 400},
]


@dataclass(frozen=True, slots=True)
class Night:
    """
    One export and how its run goes.

    `cells` holds a row's cells by managed field, the uid among them. `strangers` are records that others put
    into the directory before; it has switched off the `banned`, and deleted and made anew the `remade`. `accepts` says
    whether the run is told to accept the source, `undo` whether what it did is taken back at the end. `stop` is what cuts the run short (none, revoke, deadline, kill), `way` how it
    comes to its writes (apply, saved, canary), `guards` the limits by class, None for those that hold nobody, and
    `window` the time over which they hold.
    """

    cells: tuple[dict[str, str], ...]
    policy: dict[str, Any]
    guards: dict[str, dict[str, int]] | None = None
    window: tuple[str, ...] = ("20h",)
    weather: tuple[dict[str, Any], ...] = ()
    strangers: tuple[dict[str, Any], ...] = ()
    way: str = "apply"
    stop: str = "none"
    accepts: bool = True
    banned: frozenset[str] = frozenset()
    remade: frozenset[str] = frozenset()
    undo: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """
    A whole world; `fields` are the managed ones.

    The clock of the service is `skew_s` seconds ahead of this machine's. `is_proven` says that the job has learnt
    whether answers show the key @private.
    """

    fields: tuple[str, ...]
    directory: tuple[dict[str, Any], ...]
    nights: tuple[Night, ...]
    profile: str
    switches: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    creates_roles: bool = False
    skew_s: int = 0
    is_proven: bool = False


def draw_world(dice: Random, now_s: int) -> World:
    """Draw a world; `now_s` is the time (unix seconds of this machine) at which its first run starts."""
    skew_s = dice.choice([0, 0, 0, 0, -30, 45, 250, 400, -400, 86_400])
    now_s += skew_s
    names = [f"u{number}{dice.choice(['', '-b', '_c'])}" for number in range(dice.randrange(5, 41))]
    fields = ("name", *(name for name in KINDS if name != "name" and dice.random() < 0.55))
    turned = dice.sample(sorted(TURNED), dice.choice([0, 0, 1, 3, 8]))
    known = [name for name in names if dice.random() < 0.75]
    directory = [_record(dice, name, now_s) for name in known]
    if dice.random() < 0.5:
        directory.append({"uid": "app_system", "name": "System", "createdAt": LONG_AGO})
    return World(
        fields=fields,
        directory=tuple(directory),
        nights=tuple(
            _night(dice, fields, names, now_s, first=number == 0) for number in range(dice.choice([1, 1, 2]))
        ),
        profile=dice.choice(["observed", "documented", "hostile"]),
        switches={name: dice.choice(TURNED[name]) for name in turned},
        roles=dice.choice([{}, {"free": "default", "pro": "premium"}, {"free": "default", "pro": "gold"}]),
        creates_roles=dice.random() < 0.3,
        skew_s=skew_s,
        is_proven=dice.random() < 0.5,
    )


def _night(dice: Random, fields: tuple[str, ...], names: list[str], now_s: int, *, first: bool) -> Night:
    rows = [_row(dice, fields, name) for name in names if dice.random() < 0.8]
    if dice.random() < 0.4:
        rows += [_row(dice, fields, dice.choice(BAD_UIDS)) for _ in range(dice.randrange(1, 3))]
    if dice.random() < 0.3:
        rows += [_row(dice, fields, dice.choice(names)) for _ in range(dice.randrange(1, 4))]
    dice.shuffle(rows)
    is_fair = dice.random() < 0.6
    touched = [] if first else [name for name in names if dice.random() < 0.2]
    others = frozenset(name for name in names if dice.random() < 0.25)
    return Night(
        cells=tuple(rows or [_row(dice, fields, names[0])]),
        policy={
            "empty": dice.choice(["clear", "clear", "keep"]),
            "newer": dice.choice(["apply", "skip"]),
            "unmanaged": dice.choice(["report", "deactivate"]),
            "deactivated": dice.choice(["report", "reactivate"]),
            "protect": dice.choice(PROTECT),
            "protect_roles": dice.choice([[AGENT], [AGENT], [AGENT, "moderator"], []]),
            "unmanaged_scope": dice.choice(["ours", "all"]),
            "overwrite_hidden_metadata": dice.random() < 0.2,
        },
        guards=_guards(dice) if dice.random() < 0.25 else None,
        window=dice.choice([("20h",), ("20h",), ("1h", "7d"), ()]),
        weather=() if is_fair else tuple(dice.sample(WEATHER, dice.choice([1, 1, 2]))),
        strangers=tuple(_record(dice, name, now_s) for name in touched),
        way=dice.choice(["apply", "apply", "apply", "saved", "canary"]),
        stop=dice.choices(["none", "revoke", "deadline", "kill"], [20, 5, 1, 1])[0],
        accepts=dice.random() < 0.4,
        banned=frozenset(name for name in others if dice.random() < 0.5),
        remade=frozenset(name for name in others if dice.random() < 0.3),
        undo=dice.random() < 0.25,
    )


def _guards(dice: Random) -> dict[str, dict[str, int]]:
    guards = {}
    for name in CLASSES:
        guards[name] = {"floor": dice.choice([0, 1, 3, 10]), "percent": dice.choice([0, 10, 30, 100])}
        if dice.random() < 0.3:
            guards[name]["max"] = dice.choice([0, 2, 20])
    return guards


def _row(dice: Random, fields: tuple[str, ...], uid: str) -> dict[str, str]:
    row = {"uid": dice.choice([uid, uid, uid.upper(), f" {uid}\t"])}
    for name in fields:
        pool = BAD_CELLS if KINDS[name] in BAD_CELLS and dice.random() < 0.01 else CELLS
        row[name] = dice.choice(pool[KINDS[name]])
    return row


def _record(dice: Random, uid: str, now_s: int) -> dict[str, Any]:
    record: dict[str, Any] = {"uid": uid, "createdAt": LONG_AGO, **_values(dice)}
    if dice.random() < 0.04:
        record["role"] = AGENT
    # The export is of an hour ago; within its very second nobody can tell what was first.
    moved = dice.choice([None, None, None, -AGE_S - 60, -AGE_S + 60, -60])
    if moved is not None:
        record[dice.choice(["createdAt", "updatedAt"])] = now_s + moved
    if dice.random() < 0.12:
        record["deactivatedAt"] = LONG_AGO + 1
    return record


def _values(dice: Random) -> dict[str, Any]:
    """Draw what a user holds; now and then metadata that is no object."""
    record: dict[str, Any] = {}
    metadata: dict[str, Any] = dict(dice.choice(FOREIGN))
    for name, kind in KINDS.items():
        value = dice.choice(VALUES[kind])
        if value is None or (name != "name" and dice.random() < 0.3):
            continue
        if not name.startswith("metadata."):
            record[name] = value
        elif name == "metadata.address.city":
            metadata["address"] = dice.choice([{"city": value}, {"city": value, "zip": "8001"}, {"zip": "8001"}])
        else:
            metadata[name.removeprefix("metadata.")] = value
    if dice.random() < 0.02:
        metadata["address"] = "Oslo"
    if metadata:
        record["metadata"] = metadata
    if dice.random() < 0.03:
        record["metadata"] = dice.choice(NO_OBJECTS)
    return record


def export(world: World, night: Night) -> str:
    """Write the export of a night as CSV."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    columns = ("uid", *world.fields)
    table.writerow(f"c_{name}" for name in columns)
    table.writerows([row[name] for name in columns] for row in night.cells)
    return file.getvalue()


def settings(world: World, night: Night) -> str:
    """Write the settings of a night as TOML; JSON's texts, lists and words are TOML's too."""
    typed = {name: KINDS[name] for name in world.fields if name.startswith("metadata.")}
    plain = [f'{name} = "c_{name}"' for name in ("uid", *world.fields) if name not in typed]
    inner = [
        f'{name.removeprefix("metadata.")} = {{ column = "c_{name}", type = "{kind}" }}'
        for name, kind in typed.items()
    ]
    nobody = {"floor": 10_000, "percent": 100}
    guards = night.guards or dict.fromkeys(CLASSES, nobody)
    sections = {
        "cometchat": ['app_id = "demo"'],
        "source": ['location = "users.csv"'],
        "fields": plain,
        "fields.metadata": inner,
        "roles": [f"map = {_table(world.roles)}", f"create_missing = {json.dumps(world.creates_roles)}"],
        "policy": [f"{name} = {json.dumps(value)}" for name, value in night.policy.items()],
        "guards": [
            *(f"{name} = {_table(guard)}" for name, guard in guards.items()),
            f"max_quarantined = {_table(nobody)}",
            f"max_emptied = {_table(nobody)}",
            f"max_changed = {_table(nobody)}",
            "max_shrink_percent = 100",
            f"window = {json.dumps(night.window)}",
        ],
        "limits": ["core_per_minute = 9000", "standard_per_minute = 18000", "concurrency = 4"],
        "run": ['formats = ["csv"]'],
    }
    return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items() if lines)


def _table(values: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items()) + " }"

"""A small app with one user for every kind of drift, for tests that run the whole job many times."""

import csv
from typing import Any

from reconcile.sandbox.testing import Sandbox

MADE = {"createdAt": 1_700_000_000}
DIRECTORY: list[dict[str, Any]] = [
    {"uid": "same", "name": "Same", "role": "premium", "tags": ["a", "b"], "metadata": {"country": "NZ"}},
    {"uid": "renamed", "name": "Before", "tags": ["a"], "metadata": {"country": "NZ"}},
    {"uid": "demoted", "name": "Demoted", "role": "premium", "metadata": {"country": "NZ"}},
    {"uid": "bare", "name": "Bare", "avatar": "https://img.example.com/b.png", "link": "https://example.com/b"},
    {"uid": "retagged", "name": "Retagged", "tags": ["old"], "metadata": {"country": "NZ"}},
    {"uid": "untagged", "name": "Untagged", "tags": ["old"], "metadata": {"country": "NZ"}},
    {
        "uid": "moved",
        "name": "Moved",
        "metadata": {"country": "ES", "theme": "dark", "@private": {"email": "m@example.com"}},
    },
    {"uid": "homeless", "name": "Homeless", "metadata": {"country": "ES", "theme": "dark"}},
    {"uid": "alone", "name": "Alone", "metadata": {"country": "ES"}},
    {"uid": "paired", "name": "Paired", "metadata": {"country": "ES", "ring": 7}},
    {"uid": "asleep", "name": "Asleep", "deactivatedAt": 1_700_000_001},
    {"uid": "outside", "name": "Outside", "tags": ["x"], "metadata": {"theme": "light"}},
    {"uid": "app_system", "name": "System"},
]
EXPORT = """\
uid,name,plan,avatar,link,tags,country,ring
same,Same,premium,,,a|b,NZ,
renamed,After,default,,,a,NZ,
demoted,Demoted,default,,,,NZ,
bare,Bare,default,,,,,
retagged,Retagged,default,,,new,NZ,
untagged,Untagged,default,,,,NZ,
moved,Moved,default,,,,NZ,
homeless,Homeless,default,,,,,
alone,Alone,default,,,,,
paired,Paired,default,,,,,7
asleep,Asleep,default,,,,,
missing-1,Missing one,premium,https://img.example.com/1.png,https://example.com/1,a,NZ,1
Missing_2,Missing two,default,,,,,
"""
MAPS = ["role=plan", "metadata.country=country", "metadata.ring=ring"]
# The careful rate of an app that names no limits would make each run take a minute.
RATES = ["limits.core_per_minute=9000", "limits.standard_per_minute=18000"]


def load(sandbox: Sandbox) -> None:
    """Fill the sandbox with the directory."""
    sandbox.load_users({**user, **MADE} for user in DIRECTORY)


def flags() -> list[str]:
    """The mapping and the rates, as flags."""
    maps = [word for pair in MAPS for word in ("--map", pair)]
    return [*maps, *(word for pair in RATES for word in ("--set", pair))]


def assert_untouched(sandbox: Sandbox, before: dict[str, dict[str, Any]], *, may_revive: bool = False) -> None:
    """What nobody manages is as it was; who sleeps where nobody can list the sleepers may be woken by a create."""
    after = sandbox.users()
    kept = {"outside", "app_system"} | (set() if may_revive else {"asleep"})
    assert {uid: after[uid] for uid in kept} == {uid: before[uid] for uid in kept}
    assert all(after[uid]["metadata"]["theme"] == "dark" for uid in ("moved", "homeless"))
    assert after.keys() - before.keys() <= {"missing-1", "missing_2"}


def assert_in_step(sandbox: Sandbox, *, but: frozenset[str]) -> None:
    """Everybody in the export, but for these, holds what the row says, as the sandbox itself knows it."""
    users = sandbox.users()
    for row in csv.DictReader(EXPORT.splitlines()):
        uid = row["uid"].lower()
        if uid not in but:
            assert _managed(users[uid]) == _desired(row), uid


def _managed(user: dict[str, Any]) -> dict[str, Any]:
    metadata = user.get("metadata") or {}
    plain = {name: user.get(name) or "" for name in ("name", "role", "avatar", "link")}
    return plain | {
        "tags": set(user.get("tags") or ()),
        "metadata": [metadata.get("country"), metadata.get("ring")],
    }


def _desired(row: dict[str, str]) -> dict[str, Any]:
    plain = {"name": row["name"], "role": row["plan"], "avatar": row["avatar"], "link": row["link"]}
    return plain | {
        "tags": set(row["tags"].split("|")) - {""},
        "metadata": [row["country"] or None, row["ring"] or None],
    }

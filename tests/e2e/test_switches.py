"""
The job however the open questions about the service are answered.

A small world has one user for every kind of drift. For each value of each switch, and for random sets of
them, the job has to end in step, or say exactly what it could not do; and what is not managed stays.
"""

import os
import random
from typing import Any

import pytest

from reconcile.sandbox import describe
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

MADE = {"createdAt": 1_700_000_000}
DIRECTORY: list[dict[str, Any]] = [
    {"uid": "same", "name": "Same", "role": "premium", "tags": ["a", "b"], "metadata": {"country": "NZ"}},
    {"uid": "renamed", "name": "Before", "tags": ["a"], "metadata": {"country": "NZ"}},
    {"uid": "demoted", "name": "Demoted", "role": "premium", "metadata": {"country": "NZ"}},
    {"uid": "bare", "name": "Bare", "avatar": "https://img.example.com/b.png", "link": "https://example.com/b"},
    {"uid": "retagged", "name": "Retagged", "tags": ["old"], "metadata": {"country": "NZ"}},
    {"uid": "untagged", "name": "Untagged", "tags": ["old"], "metadata": {"country": "NZ"}},
    {"uid": "moved", "name": "Moved", "metadata": {"country": "ES", "theme": "dark"}},
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

# What no known call can do where the service answers like this: said as rejected, exit code 4.
IMPOSSIBLE = {
    ("metadata_put", "merge"): {"homeless"},  # one key cannot go from beside a foreign one
    ("empty_tags", "ignore"): {"untagged"},
    ("empty_tags", "reject"): {"untagged"},
    ("uid_underscore", "illegal"): {"missing_2"},
    ("deactivated_flags", "ignored"): {"asleep"},  # nobody can see that it is there
}
ENDLESS = ("past_end", "last_page")
EVERY = [(row.name, value) for row in describe() for value in row.values[1:]]


@pytest.fixture
def world(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """One user for every kind of drift."""
    sandbox.load_users({**user, **MADE} for user in DIRECTORY)
    (shell.folder / "reconcile.toml").unlink()
    shell.write("users.csv", EXPORT)
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", "users.csv")
    return shell


def _flags() -> list[str]:
    maps = [word for pair in MAPS for word in ("--map", pair)]
    return [*maps, *(word for pair in RATES for word in ("--set", pair))]


def _untouched(sandbox: Sandbox, before: dict[str, dict[str, Any]], *, may_revive: bool = False) -> None:
    """What nobody manages is as it was; who sleeps where nobody can list the sleepers may be woken by a create."""
    after = sandbox.users()
    kept = {"outside", "app_system"} | (set() if may_revive else {"asleep"})
    assert {uid: after[uid] for uid in kept} == {uid: before[uid] for uid in kept}
    assert all(after[uid]["metadata"]["theme"] == "dark" for uid in ("moved", "homeless"))
    assert after.keys() - before.keys() <= {"missing-1", "missing_2"}


@pytest.mark.parametrize(("name", "value"), [pair for pair in EVERY if pair != ENDLESS])
def test_each_answer_to_an_open_question(world: Shell, sandbox: Sandbox, name: str, value: str) -> None:
    """In step afterwards, or exactly the impossible is left, and said."""
    before = sandbox.users()
    sandbox.switch(**{name: value})
    left = IMPOSSIBLE.get((name, value), set())
    applied = world("apply", "--yes", "--json", *_flags())
    check = world("plan", "--json", *_flags())

    assert applied.code == (4 if left else 0), (applied.out, applied.err)
    assert check.json["plan"]["create"] + check.json["plan"]["update"] <= len(left)
    _untouched(sandbox, before)


def test_a_list_without_an_end_is_refused(world: Shell, sandbox: Sandbox) -> None:
    """A service that repeats its last page for ever is not believed."""
    sandbox.switch(past_end="last_page")

    assert world("apply", "--yes", *_flags()).code == 7
    assert sandbox.counters().writes == 0


@pytest.mark.parametrize("seed", range(int(os.environ.get("RECONCILE_RANDOM_SWITCHES", "40"))))
def test_random_answers_to_all_of_them(world: Shell, sandbox: Sandbox, seed: int) -> None:
    """Whatever the combination: nothing foreign is touched, and what is left over is what was said."""
    dice = random.Random(seed)  # noqa: S311 - repeatable, and named in the test's id
    chosen = {row.name: dice.choice(row.values) for row in describe()} | {"past_end": "empty"}
    before = sandbox.users()
    sandbox.switch(**chosen)
    applied = world("apply", "--yes", "--json", *_flags())
    check = world("plan", "--json", *_flags())
    told = applied.json["outcomes"]
    allowed = set().union(*(uids for pair, uids in IMPOSSIBLE.items() if chosen.get(pair[0]) == pair[1]))
    unseen = chosen["get_metadata"] == chosen["list_metadata"] == "hidden" or (
        chosen["get_tags"] == "hidden" and chosen["list_tags"] == "never"
    )

    assert applied.code in {0, 4}, (chosen, applied.out, applied.err)
    # A field that no answer shows is found out by one write; the changes that wait for it are skipped, once.
    assert unseen or told["rejected"] + told["skipped"] <= len(allowed), (chosen, applied.out)
    assert told["failed"] + told["held"] + told["not_attempted"] == 0
    assert check.json["plan"]["create"] + check.json["plan"]["update"] <= len(allowed), (chosen, check.out)
    _untouched(sandbox, before, may_revive=chosen["deactivated_flags"] == "ignored")

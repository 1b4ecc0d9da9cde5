"""
The job however the open questions about the service are answered.

In a small world with one user for every kind of drift: for each value of each switch, and for random sets of
them, the job has to end in step, or say exactly what it could not do; and what is not managed stays.
"""

from typing import Any

import pytest

from reconcile.sandbox import describe
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import under_one_profile
from tests.e2e.small_world import EXPORT, assert_untouched, flags
from tests.scale import dice, how_many

# The tests turn each switch themselves.
pytestmark = under_one_profile

# What no known call can do where the service answers like this: said as rejected, exit code 4.
IMPOSSIBLE = {
    ("metadata_put", "merge"): {"homeless"},  # one key cannot go from beside a foreign one
    ("private_metadata", "hidden"): {"alone"},  # nothing shows whether more than the last key would go
    ("empty_tags", "ignore"): {"untagged"},
    ("empty_tags", "reject"): {"untagged"},
    ("uid_underscore", "illegal"): {"missing_2"},
    ("deactivated_flags", "ignored"): {"asleep"},  # nobody can see that it is there
}
ENDLESS = ("past_end", "last_page")
EVERY = [(row.name, value) for row in describe() for value in row.values[1:]]


@pytest.mark.parametrize(("name", "value"), [pair for pair in EVERY if pair != ENDLESS])
def test_each_answer_to_an_open_question(world: Shell, sandbox: Sandbox, name: str, value: str) -> None:
    """In step afterwards, or exactly the impossible is left, and said."""
    before = sandbox.users()
    sandbox.switch(**{name: value})
    left = IMPOSSIBLE.get((name, value), set())
    applied = world("apply", "--yes", "--json", *flags())
    check = world("plan", "--json", *flags())

    assert applied.code == (4 if left else 0), (applied.out, applied.err)
    assert check.json["plan"]["create"] + check.json["plan"]["update"] <= len(left)
    assert_untouched(sandbox, before)


def test_a_value_that_never_sticks_does_not_keep_the_rest_of_its_user_back(world: Shell, sandbox: Sandbox) -> None:
    """Once such a user was skipped for ever: it would have needed a clear that the plan did not have."""
    sandbox.switch(metadata_put="merge")
    world("apply", "--yes", *flags())
    world.write("users.csv", EXPORT.replace("homeless,Homeless", "homeless,Housed"))
    again = world("apply", "--yes", "--json", *flags())

    assert (again.code, again.json["outcomes"]["applied"]) == (4, 1), again.out
    assert again.json["drift"]["known_differences"] == 1
    assert sandbox.users()["homeless"]["name"] == "Housed"


HELD = {"country": "NZ", "logins": "7"}
MAPPED = ("uid=id", "name=name", "metadata.country=country", "metadata.logins=logins")
APP = ("--config", "empty.toml", "--set", "cometchat.app_id=demo")
ONE = ("--source", "users.csv", *(part for pair in MAPPED for part in ("--map", pair)))


@pytest.fixture
def losing_a_key(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A user that is to lose one of two metadata keys, where an update merges: it takes two calls more."""
    # Waits between attempts prove nothing here.
    monkeypatch.setattr("reconcile.cometchat.client.BACKOFF_S", 0.005)
    monkeypatch.setattr("reconcile.applying.hands.PAUSE_S", 0.005)
    shown = {"uid": "moa", "name": "Moa", "metadata": {"@private": {"email": "m@example.com"}}}
    sandbox.load_users([{"uid": "kea", "name": "Kea", "metadata": HELD, "createdAt": 1_600_000_000}, shown])
    sandbox.switch(metadata_put="merge")
    shell.write("users.csv", "id,name,country,logins\nkea,Kea,,7\n")
    shell.write("empty.toml", "")
    return shell


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("fault", ["reset", "revoke_key"])
def test_metadata_that_is_taken_away_to_lose_a_key_comes_back(
    losing_a_key: Shell, sandbox: Sandbox, fault: str, nth: int, when: str
) -> None:
    """Whatever is lost, or cut short, between the two calls that this takes; the second was once never sent."""
    sandbox.fault(
        fault, method="PUT", path="/users/*", nth=nth, **({} if fault == "revoke_key" else {"when": when})
    )
    applied = losing_a_key("apply", "--yes", "--json", *ONE, *APP)
    if applied.code == 8:
        sandbox.restore_key()
        applied = losing_a_key("resume", "--json", *APP)

    assert applied.code in {0, 7}, applied.out
    assert sandbox.users()["kea"]["metadata"] == ({"logins": "7"} if applied.code == 0 else HELD)


@pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "status", "code": 429, "retry_after": "0"}])
def test_what_was_to_stay_comes_back_though_the_attempts_are_spent(
    losing_a_key: Shell, sandbox: Sandbox, fault: dict[str, Any]
) -> None:
    """Once the change failed after the sixth attempt, and the user was left without what both sides have."""
    sandbox.fault(method="PUT", path="/users/*", nth=3, times=7, **fault)
    applied = losing_a_key("apply", "--yes", "--json", *ONE, *APP)

    assert applied.code == 0, applied.out
    assert sandbox.users()["kea"]["metadata"] == {"logins": "7"}


def test_metadata_that_cannot_be_put_back_is_said(losing_a_key: Shell, sandbox: Sandbox) -> None:
    """A change that ends like this is no failure like others; the next run makes it good."""
    sandbox.fault("reset", method="PUT", path="/users/*", nth=3, times=12)
    applied = losing_a_key("apply", "--yes", "--json", *ONE, *APP)
    told = losing_a_key.latest("changes.csv").read_text(encoding="utf-8")
    again = losing_a_key("apply", "--yes", "--json", *ONE, *APP)

    assert applied.code == 4, applied.out
    assert "metadata that was taken away" in told
    assert (again.code, sandbox.users()["kea"]["metadata"]) == (0, {"logins": "7"})


@pytest.mark.parametrize("held", [{}, {"country": "NZ"}], ids=["nobody has either", "one has metadata"])
def test_tags_that_the_list_alone_shows_are_written_though_nobody_has_any(
    shell: Shell, sandbox: Sandbox, held: dict[str, str]
) -> None:
    """The first write proves where they are seen; once they were left out of the rest, which was called applied."""
    uids = ("kea", "kiwi", "tui")
    made = {"metadata": held, "createdAt": 1_600_000_000}
    sandbox.load_users({"uid": uid, "name": uid.title(), **made} for uid in uids)
    sandbox.switch(get_tags="hidden", echo_tags="hidden", get_metadata="hidden", echo_metadata="hidden")
    shell.write("users.csv", "id,name,tags,country\n" + "".join(f"{uid},{uid.title()},a|b,NZ\n" for uid in uids))
    shell.write("empty.toml", "")
    maps = ("uid=id", "name=name", "tags=tags", "metadata.country=country")
    flags = (*(part for pair in maps for part in ("--map", pair)), "--set", "cometchat.app_id=demo")
    applied = shell("apply", "--yes", "--json", "--config", "empty.toml", "--source", "users.csv", *flags)

    assert applied.code == 0, applied.out
    assert {uid: sandbox.users()[uid]["tags"] for uid in uids} == {uid: ["a", "b"] for uid in uids}


def test_what_no_answer_would_show_is_left_out_and_said(
    shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the update; the user that is created has been sent with it before anybody could know."""
    monkeypatch.setattr("reconcile.applying.hands.PAUSE_S", 0.005)
    sandbox.load_users([{"uid": "kiwi", "name": "Kiwi", "createdAt": 1_600_000_000}])
    sandbox.switch(get_tags="hidden", list_tags="never", echo_tags="hidden")
    shell.write("users.csv", "id,name,tags\nkea,Kea,a\nkiwi,Lime,a\n")
    shell.write("empty.toml", "")
    maps = (part for pair in ("uid=id", "name=name", "tags=tags") for part in ("--map", pair))
    flags = (*maps, "--config", "empty.toml", "--source", "users.csv", "--set", "cometchat.app_id=demo")
    result = shell("apply", "--yes", "--json", *flags)
    told = shell.latest("changes.csv").read_text(encoding="utf-8")

    assert (result.code, sandbox.users()["kiwi"]["name"]) == (0, "Lime"), result.out
    assert "not written, because no answer of CometChat shows it: tags" in result.json["notes"]
    assert told.count("unconfirmed: no answer shows tags") == 1
    assert told.count("unproven: tags is not written, because no answer shows it") == 1


def test_tags_are_written_though_the_look_after_the_first_write_of_some_lags(
    shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look from before the write was once taken for one that hides tags, and the updates went without."""
    monkeypatch.setattr("reconcile.applying.hands.PAUSE_S", 0.005)
    uids = ("kea", "kiwi", "tui")
    sandbox.load_users({"uid": uid, "name": uid.title(), "createdAt": 1_600_000_000} for uid in uids[1:])
    shell.write("users.csv", "id,name,tags\n" + "".join(f"{uid},{uid.title()},a\n" for uid in uids))
    shell.write("empty.toml", "")
    maps = (part for pair in ("uid=id", "name=name", "tags=tags") for part in ("--map", pair))
    flags = (*maps, "--config", "empty.toml", "--source", "users.csv", "--set", "cometchat.app_id=demo")
    plan = shell("plan", "--json", *flags)
    sandbox.fault("stale_read", ms=60_000, method="GET", path="/users/*", nth=2, times=2)
    result = shell("apply", plan.json["run_id"], "--yes", *flags)

    assert result.code == 0, result.out
    assert sum("stale_read" in entry.faults for entry in sandbox.log()) == 2
    assert [sandbox.users()[uid]["tags"] for uid in uids] == [["a"], ["a"], ["a"]]


def test_tags_that_only_a_deactivated_user_has_are_written(shell: Shell, sandbox: Sandbox) -> None:
    """No look shows such a one: it was once taken for proof that looks show no tags, and they were left out."""
    sandbox.load_users(
        [
            {"uid": "kea", "name": "Kea", "createdAt": 1_600_000_000},
            {
                "uid": "moa",
                "name": "Moa",
                "tags": ["old"],
                "createdAt": 1_600_000_000,
                "deactivatedAt": 1_700_000_000,
            },
        ]
    )
    shell.write("users.csv", "id,name,tags\nkea,Kea,a\n")
    shell.write("empty.toml", "")
    maps = (part for pair in ("uid=id", "name=name", "tags=tags") for part in ("--map", pair))
    flags = (*maps, "--set", "cometchat.app_id=demo")
    result = shell("apply", "--yes", "--json", "--config", "empty.toml", "--source", "users.csv", *flags)

    assert result.code == 0, result.out
    assert sandbox.users()["kea"]["tags"] == ["a"]


def test_a_first_page_that_is_shown_for_another_does_not_hide_who_is_switched_off(
    world: Shell, sandbox: Sandbox
) -> None:
    """Once the pages were then counted from 1 where they begin at 0, and a create woke who nobody had seen."""
    before = sandbox.users()["asleep"]
    sandbox.switch(page_zero="zero_based", create_over_deactivated="revive")
    sandbox.fault("repeat_page", method="GET", path="/users", times=2)
    applied = world("apply", "--yes", "--json", *flags())

    assert applied.code == 0, applied.out
    assert sandbox.users()["asleep"] == before


def test_a_list_without_an_end_is_refused(world: Shell, sandbox: Sandbox) -> None:
    """A service that repeats its last page for ever is not believed."""
    sandbox.switch(past_end="last_page")

    assert world("apply", "--yes", *flags()).code == 7
    assert sandbox.counters().writes == 0


@pytest.mark.parametrize("case", range(how_many(40, soak=1000)))
def test_random_answers_to_all_of_them(world: Shell, sandbox: Sandbox, case: int) -> None:
    """Whatever the combination: nothing foreign is touched, and what is left over is what was said."""
    draw = dice(case)
    chosen = {row.name: draw.choice(row.values) for row in describe()} | {"past_end": "empty"}
    before = sandbox.users()
    sandbox.switch(**chosen)
    applied = world("apply", "--yes", "--json", *flags())
    check = world("plan", "--json", *flags())
    told = applied.json["outcomes"]
    allowed = set().union(*(uids for pair, uids in IMPOSSIBLE.items() if chosen.get(pair[0]) == pair[1]))
    if chosen["private_metadata"] == "hidden" and chosen["metadata_put"] == "merge":
        allowed.add("paired")
    unseen = chosen["get_metadata"] == chosen["list_metadata"] == "hidden" or (
        chosen["get_tags"] == "hidden" and chosen["list_tags"] == "never"
    )

    assert applied.code in {0, 4}, (chosen, applied.out, applied.err)
    # A field that no answer shows is found out by one write; the changes that wait for it are skipped, once.
    assert unseen or told["rejected"] + told["skipped"] <= len(allowed), (chosen, applied.out)
    assert told["failed"] + told["held"] + told["not_attempted"] == 0
    assert check.json["plan"]["create"] + check.json["plan"]["update"] <= len(allowed), (chosen, check.out)
    assert_untouched(sandbox, before, may_revive=chosen["deactivated_flags"] == "ignored")

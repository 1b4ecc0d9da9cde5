"""Limits that hold over time: small runs pass together what one large run may change, and no more."""

import io
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Result, Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import under_one_profile

# Which changes are counted does not depend on how the service answers.
pytestmark = under_one_profile

APPLY = ("apply", "--yes")
LIMIT = ("--set", "guards.role_change={percent=0, floor=10}")
CREATES = ("--set", "guards.create={percent=0, floor=2}")
USERS = 24


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """A job over an app whose users are all in sync, with the role `default`."""
    found = Nights(shell, sandbox)
    load(found)
    return found


def load(nights: Nights) -> None:
    """Put all users into the app, with the role `default`."""
    nights.sandbox.load_roles(["premium"])
    known = {
        "name": "Same",
        "role": "default",
        "avatar": "https://img.example.com/1.png",
        "createdAt": 1_700_000_000,
    }
    nights.sandbox.load_users({"uid": f"user-{number}", **known} for number in range(1, USERS + 1))


def premium(nights: Nights, *numbers: int) -> None:
    """Write an export in which these users are premium, and the others are not."""
    lines = [
        f"user-{n},Same,{'premium' if n in numbers else 'default'},https://img.example.com/1.png"
        for n in range(1, USERS + 1)
    ]
    nights.write_text("\n".join(["id,name,plan,avatar", *lines]) + "\n")


def run(nights: Nights, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run a command, see that it ends as it should, and give its report."""
    result: Result = nights.shell(*arguments, "--json")
    assert result.code == code, (result.out, result.err)
    return dict(result.json)


def night(nights: Nights, *numbers: int, code: int = 0, flags: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run a night after which these users are premium."""
    premium(nights, *numbers)
    return run(nights, *APPLY, *LIMIT, *flags, code=code)


def later(nights: Nights, hours: int) -> None:
    """Let so many hours pass since all that was written."""
    sql(nights, "UPDATE intent_times SET at = at - ?", hours * 3_600)


def sql(nights: Nights, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask or change the state file."""
    with closing(sqlite3.connect(nights.state)) as state, state:
        return state.execute(statement, values).fetchall()


def roles(nights: Nights) -> int:
    """How many users are premium."""
    return sum(user["role"] == "premium" for user in nights.sandbox.users().values())


def test_many_small_runs_pass_no_more_than_the_limit(nights: Nights) -> None:
    """The third of three runs of four is held, and says why with both numbers."""
    first, second = night(nights, *range(1, 5)), night(nights, *range(1, 9))
    third = night(nights, *range(1, 13), code=5)
    line = third["guards"]["role_change"]
    shown = {form: nights.shell("report", "--format", form).out for form in ("text", "md", "html")}

    assert [
        first["guards"]["role_change"].get("recent", {}),
        second["guards"]["role_change"].get("recent", {}),
    ] == [
        {},
        {"20h": 4},
    ]
    assert line["because"] == "4 in this plan and 8 others in the last 20h: 12 users, over the limit of 10"
    assert (line["measured"], line["recent"], line["verdict"]) == (4, {"20h": 8}, "held")
    assert (third["outcomes"]["held"], roles(nights)) == (4, 8)
    assert all("4 in this plan and 8 others in the last 20h" in words for words in shown.values())


def test_a_day_later_the_limit_is_free_again(nights: Nights) -> None:
    """A nightly run does not count the run of the night before."""
    night(nights, *range(1, 11))
    later(nights, 21)

    assert night(nights, *range(1, 21))["outcomes"]["applied"] == 10


@pytest.mark.parametrize(("window", "code"), [('["20h", "7d"]', 5), ("[]", 0)])
def test_a_window_may_be_longer_or_none(nights: Nights, window: str, code: int) -> None:
    """As the settings say."""
    flags = ("--set", f"guards.window={window}")
    night(nights, *range(1, 11), flags=flags)
    later(nights, 21)
    report = night(nights, *range(1, 13), flags=flags, code=code)

    assert report["guards"]["role_change"].get("recent", {}) == ({"7d": 10} if code else {})


def test_a_window_that_is_no_duration_is_an_error_of_the_settings(nights: Nights) -> None:
    """It names the setting and an example."""
    premium(nights)
    refused = [nights.shell("plan", "--set", f'guards.window=["20h", "{words}"]') for words in ("soon", "none")]

    assert [result.code for result in refused] == [2, 2]
    assert all("guards.window has" in result.err and '["20h", "7d"]' in result.err for result in refused)


def test_the_same_users_may_be_changed_again(nights: Nights) -> None:
    """Ten users are ten users, however often they change."""
    night(nights, *range(1, 11))

    assert night(nights)["outcomes"]["applied"] == 10


def test_a_release_lets_the_plan_pass_and_is_not_counted_later(nights: Nights) -> None:
    """A person has looked at them. The ceiling is compared with the number of the plan itself."""
    night(nights, *range(1, 9))
    held = night(nights, *range(1, 13), code=5)
    low = run(nights, "apply", held["run_id"], "--yes", "--release", "role_change=3", code=5)
    released = run(nights, "apply", held["run_id"], "--yes", "--release", "role_change=4")
    after = night(nights, *range(1, 15))

    assert held["guards"]["role_change"]["release"].endswith("--release role_change=4")
    assert low["guards"]["role_change"]["verdict"] == "held"
    assert released["outcomes"]["applied"] == 4
    assert after["guards"]["role_change"].get("recent", {}) == {"20h": 8}


def test_a_saved_plan_is_judged_again_before_its_first_write(nights: Nights) -> None:
    """Another run has used the limit up since the plan was made; nothing of the class is written."""
    premium(nights, *range(1, 7))
    plan = run(nights, "plan", *LIMIT)
    night(nights, *range(20, 25))
    held = run(nights, "apply", plan["run_id"], "--yes", code=5)
    line = held["guards"]["role_change"]
    released = run(nights, *line["release"].split()[1:], "--yes")

    assert (plan["guards"]["role_change"]["verdict"], line["verdict"]) == ("pass", "held")
    assert line["because"] == "6 in this plan and 5 others in the last 20h: 11 users, over the limit of 10"
    assert (held["outcomes"]["held"], held["plan"]["held"], held["forecast"]["requests"]) == (6, 6, 0)
    assert (released["outcomes"]["applied"], roles(nights)) == (6, 11)


def test_the_canary_of_a_plan_counts_once(nights: Nights) -> None:
    """The rest of the plan passes, and other runs see all of it."""
    premium(nights, *range(1, 11))
    plan = run(nights, "plan", *LIMIT)
    canary = run(nights, "apply", plan["run_id"], "--yes", "--limit", "6")
    rest = run(nights, "apply", plan["run_id"], "--yes")

    assert (canary["outcomes"]["applied"], rest["outcomes"]["applied"], rest["outcomes"]["already"]) == (6, 4, 6)
    assert night(nights, *range(1, 12), code=5)["guards"]["role_change"].get("recent", {}) == {"20h": 10}


def test_what_an_undo_took_back_does_not_count_and_nor_does_the_undo(nights: Nights) -> None:
    """After it the limit is as free as before the run."""
    first = night(nights, *range(1, 11))
    undone = run(nights, "undo", first["run_id"], "--yes")
    premium(nights, *range(11, 21))
    plan = run(nights, "plan", *LIMIT)

    assert undone["outcomes"]["applied"] == 10
    assert (plan["guards"]["role_change"]["verdict"], plan["guards"]["role_change"].get("recent", {})) == (
        "pass",
        {},
    )


def test_the_undo_of_an_undo_counts(nights: Nights) -> None:
    """Run, undo, and undo of that: the users are changed, and the limit is used up."""
    first = night(nights, *range(1, 9))
    back = run(nights, "undo", first["run_id"], "--yes")
    again = run(nights, "undo", back["run_id"], "--yes")
    premium(nights, *range(1, 13))
    plan = run(nights, "plan", *LIMIT)

    assert (again["outcomes"]["applied"], roles(nights)) == (8, 8)
    assert (plan["guards"]["role_change"]["verdict"], plan["guards"]["role_change"].get("recent", {})) == (
        "held",
        {"20h": 8},
    )


def test_a_migration_into_an_empty_app_does_not_count(nights: Nights) -> None:
    """The users who sign up on the same day pass."""
    nights.sandbox.reset()
    nights.run(20, *CREATES, command=APPLY)
    after = nights.run(22, *CREATES, command=APPLY)

    assert (after.json["outcomes"]["applied"], after.json["guards"]["create"].get("recent", {})) == (2, {})


def test_changes_of_an_older_version_count_by_the_start_of_their_run(nights: Nights) -> None:
    """It recorded no times."""
    first = night(nights, *range(1, 9))
    sql(nights, "DELETE FROM intent_times")
    held = night(nights, *range(1, 13), code=5)
    old = "20200101T000000Z-" + first["run_id"][-4:]
    sql(nights, "UPDATE intents SET run_id = ? WHERE run_id = ?", old, first["run_id"])
    sql(nights, "UPDATE outcomes SET run_id = ? WHERE run_id = ?", old, first["run_id"])

    assert held["guards"]["role_change"].get("recent", {}) == {"20h": 8}
    assert night(nights, *range(1, 13))["outcomes"]["applied"] == 4


def test_what_an_older_version_released_or_migrated_does_not_count(nights: Nights) -> None:
    """Its reports say so."""
    nights.sandbox.reset()
    nights.run(20, *CREATES, command=APPLY)
    load(nights)
    held = night(nights, *range(1, 13), code=5)
    run(nights, "apply", held["run_id"], "--yes", "--release", "role_change=12")
    for statement in ("DELETE FROM intent_times", "DELETE FROM uncounted"):
        sql(nights, statement)

    report = night(nights, *range(1, 15), flags=CREATES)

    assert report["outcomes"]["applied"] == 2
    assert [name for name, line in report["guards"].items() if "recent" in line] == []


def test_a_resumed_run_keeps_its_verdicts(nights: Nights) -> None:
    """Its plan was judged when it was made; what it wrote itself does not hold the rest."""
    premium(nights, *range(1, 11))
    nights.sandbox.fault("revoke_key", method="PUT", path="/users/*", nth=4)
    stopped = run(nights, *APPLY, *LIMIT, "--set", "limits.concurrency=1", code=8)
    nights.sandbox.clear_faults()
    nights.sandbox.restore_key()
    resumed = run(nights, "resume")

    assert 0 < stopped["outcomes"]["applied"] < 10
    assert (resumed["outcomes"]["applied"], resumed["outcomes"]["held"]) == (10, 0)


# Who let something pass


def test_a_yes_at_the_question_is_kept_like_a_flag(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody agreed, and the report says who."""
    answer = io.StringIO("y\n")
    monkeypatch.setattr(answer, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", answer)
    premium(nights, 1)
    report = run(nights, "apply", *LIMIT)

    assert [(row["what"], row["value"]) for row in report["waivers"]] == [("answered", "")]


def test_who_released_and_accepted_is_kept_and_shown(nights: Nights) -> None:
    """By the report in every form and by the list of runs; that nobody was asked is in the report."""
    night(nights, *range(1, 9))
    held = night(nights, *range(1, 13), code=5)
    flags = ("--yes", "--release", "role_change=4", "--accept-source")
    released = run(nights, "apply", held["run_id"], *flags)
    waivers = [(row["what"], row["value"]) for row in released["waivers"]]
    shown = {form: nights.shell("report", "--format", form).out for form in ("text", "md", "html")}
    listed = nights.shell("runs").out
    document = json.loads(nights.shell("runs", "--json").out)

    assert waivers == [("accept_source", ""), ("release", "role_change=4"), ("yes", "")]
    assert all("(uid " in row["by"] and row["at"] for row in released["waivers"])
    assert all("role_change=4" in words.replace("\\", "") and "(uid " in words for words in shown.values())
    assert f"{released['run_id']}: --accept-source, --release role_change=4 by " in " ".join(listed.split())
    assert document["runs"][0]["waivers"] == released["waivers"]


def test_a_redacted_report_does_not_name_who_let_something_pass(nights: Nights) -> None:
    """The login is of this machine."""
    report = night(nights, 1, flags=("--redact",))

    assert report["waivers"][0]["what"] == "yes"
    assert "(uid " not in report["waivers"][0]["by"]


# How plans are made


@pytest.fixture
def table(nights: Nights) -> Nights:
    """The same users in a table, one of them premium."""
    with closing(sqlite3.connect(nights.shell.folder / "users.db")) as database, database:
        database.execute("CREATE TABLE users (id, name, plan, avatar)")
        database.executemany(
            "INSERT INTO users VALUES (?, 'Same', ?, 'https://img.example.com/1.png')",
            [(f"user-{n}", "premium" if n == 1 else "default") for n in range(1, USERS + 1)],
        )
    return nights


ASKED = ("--source", "sqlite:///users.db", "--query", "select * from users where id <> 'nobody-7'")


def drift(nights: Nights) -> None:
    """Have something to write."""
    nights.sandbox.load_users([{"uid": "user-2", "name": "Old", "createdAt": 1_700_000_000}])


def test_a_changed_query_asks_for_a_reviewed_plan(table: Nights) -> None:
    """Without a word of the query: it may name users."""
    run(table, *APPLY, *ASKED)
    drift(table)
    flags = (*ASKED[:3], "select * from users where id <> 'nobody-8'")
    asked = run(table, *APPLY, *flags, code=5)
    reviewed = run(table, "apply", asked["run_id"], "--yes", *flags)
    drift(table)

    assert "source.query has changed since run" in asked["error"]["message"]
    assert "nobody-8" not in asked["error"]["message"]
    assert reviewed["exit_code"] == run(table, *APPLY, *flags)["exit_code"] == 0
    assert "nobody" not in str(sql(table, "SELECT answer FROM probes WHERE name = 'declared'"))


def test_an_upgrade_alone_asks_for_nothing(table: Nights) -> None:
    """The record of an older version lacks the source, and keys of the policy that this version has."""
    run(table, *APPLY, *ASKED)
    drift(table)
    ((text,),) = sql(table, "SELECT answer FROM probes WHERE name = 'declared'")
    record = json.loads(text)
    lacking = ("source.", "policy.newer")
    record["words"] = {key: words for key, words in record["words"].items() if not key.startswith(lacking)}
    sql(table, "UPDATE probes SET answer = ? WHERE name = 'declared'", json.dumps(record))
    changed = run(table, *APPLY, *ASKED, "--set", "policy.newer=skip", code=5)

    assert "policy.newer is skip, and was apply" in changed["error"]["message"]
    assert "source." not in changed["error"]["message"]
    assert run(table, *APPLY, *ASKED)["exit_code"] == 0

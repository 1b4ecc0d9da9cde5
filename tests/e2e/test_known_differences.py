"""A value that CometChat takes and does not keep is a known difference until it is mended: no night calls that in step."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, tzinfo
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import StateReader
from tests.conftest import Result, Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import under_one_profile
from tests.e2e.test_metrics import samples

# The sandbox loses the values by itself, however it answers otherwise.
pytestmark = under_one_profile

APPLY = ("apply", "--yes")
MADE = 1_700_000_000
AVATAR = "https://img.example.com/1.png"
HOUR, DAY = 1, 24


class Clock:
    """The clock of this machine, put forward by so many hours."""

    def __init__(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        self._settings = shell.folder / "reconcile.toml"
        self._patch = monkeypatch

    def forward(self, hours: float) -> None:
        """Let it be so many hours from when the settings were written."""
        moment = self._settings.stat().st_mtime + 3_600 * hours

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> "Moved":
                return cls.fromtimestamp(moment, tz)

        self._patch.setattr("reconcile.run.datetime", Moved)


@pytest.fixture
def clock(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock, to be put forward."""
    return Clock(shell, monkeypatch)


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """Five users without an avatar, whom the export gives one."""
    nights = Nights(shell, sandbox)
    sandbox.load_users({"uid": f"user-{n}", "name": "Same", "createdAt": MADE} for n in range(1, 6))
    return nights


def lose(sandbox: Sandbox, *fields: str, path: str = "/users/*") -> None:
    """Have the service take these fields and not keep them."""
    sandbox.fault("lose_fields", method="PUT", path=path, fields=list(fields))


def night(
    nights: Nights, code: int, *flags: str, command: tuple[str, ...] = APPLY, rows: int = 5, **cells: Any
) -> Any:
    """Run one night with five users, or so many, and give its report."""
    nights.write(rows, **cells)
    result = nights.shell(*command, "--json", *flags)
    assert result.code == code, (result.out, result.err)
    return result.json


def told(report: Any) -> str:
    """What a person is told to do."""
    return " ".join(report["needs"])


def tries(nights: Nights) -> set[tuple[str, int]]:
    """The users of the known differences, and how often each was tried."""
    return {(one.uid, one.tries) for one in StateReader(nights.state).tried()}


def writes(nights: Nights) -> int:
    """How many writes have left so far."""
    return nights.sandbox.counters().writes


def test_the_second_night_says_what_is_known_to_differ(nights: Nights, sandbox: Sandbox) -> None:
    """Exit code 4, not one request more than a look, and the remedies; a dry run and --check say the same."""
    lose(sandbox, "avatar")
    first = night(nights, 4)
    sent = writes(nights)
    second = night(nights, 4)
    check = night(nights, 4, "--check", command=("plan",))

    assert first["outcomes"]["rejected"] == 5
    assert f"to try now: reconcile retry {first['run_id']}" in told(first)
    for report in (second, check):
        assert (report["verdict"], report["headline"]) == (
            "incomplete",
            "Incomplete: nothing to change now; 5 users are known to differ.",
        )
        assert (report["drift"]["drifted"], report["drift"]["in_step"]) == (5, 0)
        assert (report["drift"]["known_differences"], report["drift"]["known_values"]) == (5, 5)
        assert "5 users are known to differ (0 new)" in told(report)
        assert "unmap the field, or protect the user (policy.protect)" in told(report)
        assert f"reconcile retry {report['run_id']}" in told(report)
        assert "user-1 (avatar), user-2 (avatar)" in told(report)
    assert writes(nights) == sent


def test_it_is_tried_again_after_one_three_and_seven_days(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """And then every seven; the nights between send nothing."""
    lose(sandbox, "avatar")
    night(nights, 4)
    tried = []
    for day in range(1, 27):
        clock.forward(day * DAY)
        tried += [day] if night(nights, 4)["plan"]["update"] else []

    assert tried == [1, 4, 11, 18, 25]
    assert {number for _, number in tries(nights)} == {6}


def test_a_try_that_holds_ends_it(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """The service is well again the next day: the night mends it, and the one after is in step."""
    lose(sandbox, "avatar")
    night(nights, 4)
    sandbox.clear_faults()
    night(nights, 4)
    clock.forward(DAY)
    mended = night(nights, 0)

    assert mended["outcomes"]["applied"] == 5
    assert night(nights, 0)["verdict"] == "in_step"
    assert not tries(nights)


@pytest.mark.parametrize("of", ["the night that found it", "a night that counted it", "a dry run that counted it"])
def test_retry_tries_it_now(nights: Nights, sandbox: Sandbox, of: str) -> None:
    """Of the run that tried it, and of every run that only knew it."""
    lose(sandbox, "avatar")
    found = night(nights, 4)["run_id"]
    counted = night(nights, 4)["run_id"]
    dry = night(nights, 4, command=("plan",))["run_id"]
    sandbox.clear_faults()
    target = {"the night that found it": found, "a night that counted it": counted}.get(of, dry)
    again = night(nights, 0, command=("retry", target, "--yes"))

    assert again["outcomes"]["applied"] == 5
    assert night(nights, 0)["verdict"] == "in_step"


def test_another_value_of_the_source_is_tried_at_once_and_counts_anew(
    nights: Nights, sandbox: Sandbox, clock: Clock
) -> None:
    """Whether it holds or not."""
    lose(sandbox, "avatar")
    night(nights, 4)
    clock.forward(DAY)
    night(nights, 4)
    assert {number for _, number in tries(nights)} == {2}
    assert night(nights, 4, avatar="https://img.example.com/2.png")["plan"]["update"] == 5
    assert {number for _, number in tries(nights)} == {1}
    sandbox.clear_faults()
    assert night(nights, 0, avatar="https://img.example.com/3.png")["outcomes"]["applied"] == 5
    assert not tries(nights)


def test_what_others_mended_is_known_no_more(nights: Nights, sandbox: Sandbox) -> None:
    """So that it is planned at once should it be lost again."""
    lose(sandbox, "avatar")
    night(nights, 4)
    whole = [{**user, "avatar": AVATAR} for user in sandbox.users().values()]
    sandbox.load_users(whole)
    agreed = night(nights, 0)
    sandbox.load_users([{**whole[0], "avatar": "https://img.example.com/9.png"}])
    again = night(nights, 0, command=("plan",))

    assert (agreed["verdict"], agreed["drift"]["known_differences"]) == ("in_step", 0)
    assert again["plan"]["update"] == 1


def test_who_left_the_source_is_known_no_more(nights: Nights, sandbox: Sandbox) -> None:
    """Nothing asks for the value."""
    lose(sandbox, "avatar")
    night(nights, 4)
    fewer = night(nights, 4, rows=4)

    assert fewer["drift"]["known_differences"] == 4
    assert {uid for uid, _ in tries(nights)} == {f"user-{n}" for n in range(1, 5)}


@pytest.mark.parametrize(
    ("what", "remedy"),
    [
        ("unmapped", ()),
        ("protected", ("--set", "policy.protect=['user-*']")),
    ],
)
def test_the_remedies_work(nights: Nights, sandbox: Sandbox, what: str, remedy: tuple[str, ...]) -> None:
    """An unmapped field and a protected user differ no more, and neither does a value that the source has mended."""
    lose(sandbox, "avatar")
    night(nights, 4)
    if what == "unmapped":
        path = nights.shell.folder / "reconcile.toml"
        path.write_text(path.read_text("utf-8").replace('avatar = "avatar"\n', ""), "utf-8")
        remedy = ()
    report = night(nights, 0, "--accept-mapping", *remedy)

    assert report["verdict"] == "in_step"
    assert report["drift"]["known_differences"] == 0


def test_the_other_changes_of_such_a_user_are_made(nights: Nights, sandbox: Sandbox) -> None:
    """The night makes them, and still ends with 4."""
    lose(sandbox, "avatar")
    night(nights, 4)
    report = night(nights, 4, name="New")

    assert (report["outcomes"]["applied"], report["outcomes"]["rejected"]) == (5, 0)
    assert report["headline"] == "Incomplete: 5 of 5 changes made; 5 users are known to differ."
    assert {user["name"] for user in sandbox.users().values()} == {"New"}


def test_a_saved_plan_and_a_resume_know_it_too(nights: Nights, sandbox: Sandbox) -> None:
    """What the plan counted is no success of the run that carries it out."""
    lose(sandbox, "avatar")
    night(nights, 4)
    planned = night(nights, 4, command=("plan",), name="New")
    applied = nights.shell("apply", planned["run_id"], "--yes", "--json")

    assert applied.code == 4, (applied.out, applied.err)
    assert applied.json["outcomes"]["applied"] == 5
    assert applied.json["drift"]["known_differences"] == 5
    assert f"reconcile retry {applied.json['run_id']}" in told(applied.json)


def test_many_that_still_do_not_stick_stop_no_run(nights: Nights, sandbox: Sandbox, clock: Clock) -> None:
    """Fifty rejections in a row for one reason stop a run; those that are known say nothing new."""
    sandbox.load_users({"uid": f"user-{n}", "name": "Same", "createdAt": MADE} for n in range(1, 71))
    lose(sandbox, "avatar")
    night(nights, 8, rows=70)
    night(nights, 4, rows=70)
    clock.forward(DAY + HOUR)
    again = night(nights, 4, rows=70)

    assert again["outcomes"]["rejected"] == 70


def test_an_undo_neither_counts_nor_ends_it(nights: Nights, sandbox: Sandbox) -> None:
    """What is put back is not what the source asks for."""
    lose(sandbox, "avatar")
    first = night(nights, 4, name="New")
    before = tries(nights)
    undone = nights.shell("undo", first["run_id"], "--yes", "--json")

    assert undone.code == 0, (undone.out, undone.err)
    assert before == tries(nights) != set()


def test_forget_erases_it(nights: Nights, sandbox: Sandbox) -> None:
    """No byte of the state names the user, and nothing is known of it."""
    lose(sandbox, "avatar")
    night(nights, 4)
    night(nights, 4)
    assert nights.shell("forget", "user-3", "--yes").code == 0
    after = night(nights, 4)

    assert "user-3" not in {uid for uid, _ in tries(nights)}
    assert after["drift"]["known_differences"] == 4
    with closing(sqlite3.connect(nights.state)) as state:
        assert "user-3" not in "\n".join(state.iterdump())


def test_explain_says_what_was_not_kept_and_when_it_is_tried(nights: Nights, sandbox: Sandbox) -> None:
    """With the number of tries."""
    lose(sandbox, "avatar")
    night(nights, 4)
    result = nights.shell("explain", "user-1")

    assert (
        "avatar: CometChat took this value and did not keep it (1 try so far); the next try is after" in result.out
    )


def test_a_state_of_an_older_version_is_tried_once_at_once(nights: Nights, sandbox: Sandbox) -> None:
    """It has no dates."""
    lose(sandbox, "avatar")
    night(nights, 4)
    with closing(sqlite3.connect(nights.state)) as state, state:
        state.execute("DROP TABLE tries")
        state.execute("DROP TABLE known_differences")
    assert "(0 tries so far)" not in nights.shell("explain", "user-1").out

    assert night(nights, 4)["outcomes"]["rejected"] == 5
    assert night(nights, 4)["plan"]["update"] == 0


def test_in_partitions_it_is_the_same(nights: Nights, sandbox: Sandbox) -> None:
    """Counted, named and retried."""
    parts = ("--set", "run.partitions=3")
    lose(sandbox, "avatar")
    night(nights, 4, *parts)
    second = night(nights, 4, *parts)
    sandbox.clear_faults()
    again = night(nights, 0, *parts, command=("retry", second["run_id"], "--yes"))

    assert second["drift"]["known_differences"] == 5
    assert "user-1 (avatar), user-2 (avatar)" in told(second)
    assert again["outcomes"]["applied"] == 5
    assert night(nights, 0, *parts)["verdict"] == "in_step"


def test_others_are_told_that_the_night_is_incomplete(nights: Nights, sandbox: Sandbox) -> None:
    """The metrics have the number, and a redacted report has it without the names."""
    lose(sandbox, "avatar")
    flags = ("--set", "run.metrics=metrics.prom")
    night(nights, 4, *flags)
    night(nights, 4, *flags, "--redact")
    found = samples((nights.shell.folder / "metrics.prom").read_text("utf-8"))
    report = nights.shell.latest("report.json").read_text("utf-8")

    assert found["reconcile_known_differences",] == 5
    assert found["reconcile_exit_code",] == 4
    assert "5 users are known to differ" in report
    assert "user-1" not in report


# Only what changed

SINCE = """\
[cometchat]
app_id = "demo"

[source]
location = "sqlite:///users.db"
table = "users"
since = { column = "moved" }

[fields]
uid = "id"
name = "name"
avatar = "avatar"
"""


@pytest.fixture
def hours(shell: Shell, sandbox: Sandbox) -> Callable[..., Result]:
    """An hourly job over a database, after a first run over everything that found one value which is not kept."""
    shell.write("reconcile.toml", SINCE)
    with closing(sqlite3.connect(shell.folder / "users.db")) as database, database:
        database.execute("create table users (id text, name text, avatar text, moved text)")
        rows = [(f"u{n}", "Same", AVATAR if n == 1 else "", f"2024-05-0{n} 10:00:00") for n in range(1, 6)]
        database.executemany("insert into users values (?, ?, ?, ?)", rows)
    sandbox.load_users({"uid": f"u{n}", "name": "Same", "createdAt": MADE} for n in range(1, 6))
    lose(sandbox, "avatar")

    def hour(code: int) -> Result:
        result = shell(*APPLY, "--since", "--json")
        assert result.code == code, (result.out, result.err)
        return result

    assert hour(4).json["outcomes"]["rejected"] == 1
    return hour


def execute(shell: Shell, statement: str) -> None:
    """Change the database."""
    with closing(sqlite3.connect(shell.folder / "users.db")) as database, database:
        database.execute(statement)


def test_the_watermark_moves_and_every_hour_says_what_is_known(hours: Callable[..., Result], clock: Clock) -> None:
    """Its row is not among those that changed; when it is due, everything is read and it is tried."""
    part = hours(4).json
    clock.forward(DAY)
    due = hours(4).json
    clock.forward(DAY + HOUR)
    after = hours(4).json

    for report in (part, after):
        assert report["source"]["since"] == "2024-05-05 09:50:00"
        assert report["drift"]["known_differences"] == 1
        assert "u1 (avatar)" in told(report)
    assert due["source"]["since"] is None
    assert "1 value that CometChat did not keep is due to be tried again" in " ".join(due["notes"])
    assert due["outcomes"]["rejected"] == 1


def test_a_value_that_is_mended_in_the_database_ends_it_in_that_hour(
    hours: Callable[..., Result], shell: Shell
) -> None:
    """Its row changed, so it is read."""
    execute(shell, "update users set avatar = '', moved = '2024-05-06 10:00:00' where id = 'u1'")

    assert hours(0).json["drift"]["known_differences"] == 0
    assert hours(0).json["verdict"] == "in_step"


def test_a_value_that_somebody_put_into_the_directory_ends_it_in_that_hour(
    hours: Callable[..., Result], sandbox: Sandbox
) -> None:
    """Such users are looked at each time, one request each."""
    sandbox.clear_log()
    hours(4)
    looked = [entry.path for entry in sandbox.log()]
    sandbox.load_users([{**sandbox.users()["u1"], "avatar": AVATAR}])
    mended = hours(0)

    assert looked.count("/users/u1") == 1
    assert mended.json["headline"].startswith("In step: nothing to change.")


def test_other_trouble_keeps_the_watermark(hours: Callable[..., Result], shell: Shell, sandbox: Sandbox) -> None:
    """A change that was refused is read again by the next hour; one that did not stick is not."""
    sandbox.fault("status", path="/users/u2", method="PUT", code=422, error="ERR_BAD_REQUEST")
    execute(shell, "update users set name = 'New', moved = '2024-05-06 10:00:00' where id = 'u2'")
    hours(4)
    again = hours(4).json

    assert again["source"]["since"] == "2024-05-05 09:50:00"
    assert again["outcomes"]["rejected"] == 1


# What else is not known to agree


def test_fields_that_no_answer_shows_are_said_in_the_headline(nights: Nights, sandbox: Sandbox) -> None:
    """Nobody knows whether they agree."""
    sandbox.switch(get_tags="hidden", list_tags="never", echo_tags="hidden")
    first = night(nights, 0, "--map", "tags=tags", tags="vip")
    second = night(nights, 0, "--map", "tags=tags", tags="vip")

    assert first["headline"] == "Applied: 5 of 5 changes made. Not compared: tags."
    assert second["headline"] == "In step: nothing to change. Not compared: tags."


def test_users_that_are_left_alone_as_newer_are_not_called_in_step(nights: Nights, sandbox: Sandbox) -> None:
    """The headline counts them; the policy asks for that, so it is exit code 0."""
    now = nights.moment(0)
    sandbox.load_users([{"uid": "user-1", "name": "Newer", "createdAt": MADE, "updatedAt": now + 5}])
    sandbox.load_users(
        {"uid": f"user-{n}", "name": "Same", "createdAt": MADE, "avatar": AVATAR} for n in range(2, 6)
    )
    report = night(nights, 0, "--set", "policy.newer=skip")

    assert report["headline"] == "Nothing to change: 1 drifted user is newer than the export and left alone."

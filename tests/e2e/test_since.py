"""Promises about `--since`: an hour costs what changed in it, and a part of the source is evidence of nothing else."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import structlog

from reconcile import ReconcileError, apply
from reconcile.core.watermark import Watermark
from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import StateReader
from tests.conftest import Result, Shell
from tests.databases import Server
from tests.e2e.profiles import under_one_profile
from tests.e2e.test_metrics import samples
from tests.scale import dice, how_many

# What of the source is read does not depend on how the service answers.
pytestmark = under_one_profile

SETTINGS = """\
[cometchat]
app_id = "demo"

[source]
location = "sqlite:///users.db"
table = "users"
since = { column = "moved", overlap = "10m" }

[fields]
uid = "id"
name = "name"
role = "plan"

[run]
metrics = "metrics.prom"
"""
USERS = 40
EARLIER, MARK, OVERLAP = "2024-05-01 09:00:00", "2024-05-01 10:00:00", "2024-05-01 09:50:00"
LATER = "2024-05-01 11:00:00"
LATER_OVERLAP = "2024-05-01 10:50:00"
MADE = {"createdAt": 1_700_000_000}


class Hours:
    """The command line over a table of `u0`, `u1` and so on, the last of which changed at the mark."""

    def __init__(self, shell: Shell, sandbox: Sandbox) -> None:
        self.shell = shell
        self.sandbox = sandbox
        self.path = shell.folder / "users.db"
        shell.write("reconcile.toml", SETTINGS)

    def execute(self, statement: str, *values: str) -> None:
        """Change the database."""
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(statement, values)

    def add(self, *rows: tuple[str, str, str, str]) -> None:
        """Add rows to the table."""
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executemany("insert into users values (?, ?, ?, ?)", rows)

    def rename(self, *uids: str, at: str = LATER) -> None:
        """Give users another name, and have their rows say when."""
        for uid in uids:
            self.execute("update users set name = name || ' II', moved = ? where id = ?", at, uid)

    def run(self, *argv: str, code: int = 0) -> Result:
        """Run a command, and see that it ends as it should."""
        self.sandbox.clear_log()
        result = self.shell(*argv, "--json")
        assert result.code == code, (result.out, result.err)
        return result

    def apply(self, *flags: str, code: int = 0) -> Result:
        """Apply in one go."""
        return self.run("apply", "--yes", *flags, code=code)

    @property
    def reader(self) -> StateReader:
        """What the runs have left."""
        return StateReader(self.shell.folder / "runs" / "state.sqlite")

    @property
    def mark(self) -> str | None:
        """The watermark, where there is one."""
        text = self.reader.remembered("watermark")
        return msgspec.json.decode(text, type=Watermark).mark if text else None

    def age(self, at: str) -> None:
        """Let the last run that read everything be of another time."""
        with closing(sqlite3.connect(self.reader.path)) as state, state:
            state.execute(
                "update probes set answer = json_set(answer, '$.full_at', ?) where name = 'watermark'", (at,)
            )


@pytest.fixture
def hours(shell: Shell, sandbox: Sandbox) -> Hours:
    """A job whose source and directory are in step, and that has said so: there is a watermark."""
    found = Hours(shell, sandbox)
    found.execute("create table users (id text, name text, plan text, moved text)")
    found.add(*((f"u{n}", f"Wren {n}", "default", EARLIER if n else MARK) for n in range(USERS)))
    sandbox.load_users({"uid": f"u{n}", "name": f"Wren {n}", **MADE} for n in range(USERS))
    sandbox.load_users([{"uid": "outside", "name": "Outside", **MADE}])
    assert found.apply().json["verdict"] == "in_step"
    assert found.mark == MARK
    return found


def since(result: Result) -> str | None:
    """From which value on a run has read."""
    found: str | None = result.json["source"]["since"]
    return found


def notes(result: Result) -> str:
    """All that it noted."""
    return " ".join(result.json["notes"])


def test_only_what_changed_is_read_and_brought_in_step(hours: Hours) -> None:
    """Since the watermark, less the overlap; who was missing is created, and the mark moves to what was seen."""
    hours.rename("u7")
    hours.add(("new", "New", "premium", LATER))
    result = hours.apply("--since")
    users = hours.sandbox.users()

    assert (since(result), result.json["source"]["changed_by"]) == (OVERLAP, "moved")
    assert result.json["source"]["rows"] == 3  # u0 within the overlap, u7, new
    assert (result.json["plan"]["create"], result.json["plan"]["update"]) == (1, 1)
    assert (users["u7"]["name"], users["new"]["role"]) == ("Wren 7 II", "premium")
    assert hours.mark == LATER
    assert since(hours.apply("--since")) == LATER_OVERLAP
    assert hours.apply().json["verdict"] == "in_step"


def test_a_quiet_hour_asks_for_nothing_at_all(hours: Hours) -> None:
    """Not one request, and the mark stays."""
    hours.execute("update users set moved = ?", EARLIER)
    result = hours.apply("--since")

    assert (result.json["verdict"], result.json["source"]["rows"]) == ("in_step", 0)
    assert hours.sandbox.log() == []
    assert result.json["directory"]["fetch"] == "nothing"
    assert hours.mark == MARK


def test_an_hour_costs_what_changed_and_not_what_there_is(hours: Hours) -> None:
    """Of a large directory the few users are asked for one by one."""
    hours.sandbox.load_users({"uid": f"more-{n}", "name": "More", **MADE} for n in range(4_000))
    hours.rename("u7")
    result = hours.apply("--since")

    assert result.json["directory"]["fetch"] == "by_uid"
    # Roles, two looks at the list and one far behind, two users, those deactivated, a look and a write.
    assert len(hours.sandbox.log()) <= 10
    assert hours.sandbox.users()["u7"]["name"] == "Wren 7 II"


@pytest.mark.parametrize("size", [0, 4_000], ids=["walk", "by uid"])
def test_a_part_is_never_evidence_of_absence(hours: Hours, size: int) -> None:
    """Who is not in it is neither unmanaged nor deactivated, and that is not 0 but not known."""
    hours.sandbox.load_users({"uid": f"more-{n}", "name": "More", **MADE} for n in range(size))
    # The mapping stays; the policy does not, so the watermark has to be made under it.
    policy = ("--set", "policy.unmanaged=deactivate", "--set", 'policy.protect=["outside", "more-*"]')
    hours.apply("--accept-mapping", *policy)
    hours.execute("delete from users where id = 'u3'")
    hours.rename("u7")
    part = hours.apply("--since", *policy)

    assert since(part) == OVERLAP
    assert part.json["drift"]["unmanaged"] is None
    assert part.json["plan"]["deactivate"] == 0
    assert not hours.sandbox.users()["u3"].get("deactivatedAt")
    whole = hours.apply(*policy)
    assert (whole.json["drift"]["unmanaged"], whole.json["plan"]["deactivate"]) == (1, 1)
    assert hours.sandbox.users()["u3"].get("deactivatedAt")


def test_no_guard_of_the_whole_source_is_held_against_a_part(hours: Hours) -> None:
    """Neither its size nor its sentinels; and it is no measure for the next export."""
    guards = ("--set", "guards.min_rows=30", "--set", 'guards.sentinels=["u30"]')
    hours.rename("u7")
    before = [baseline.run_id for baseline in hours.reader.baselines()]
    result = hours.apply("--since", *guards)

    assert since(result) == OVERLAP
    assert {"min_rows", "sentinels", "max_shrink_percent", "max_emptied", "max_changed"}.isdisjoint(
        result.json["guards"]
    )
    assert [baseline.run_id for baseline in hours.reader.baselines()] == before
    assert hours.apply(*guards).json["guards"]["max_shrink_percent"]["base"] == USERS


def test_the_percentages_of_the_guards_are_of_the_last_run_that_read_everything(hours: Hours) -> None:
    """A third of a part is nothing; a third of all is."""
    guard = ("--set", "guards.update={percent=30, floor=1}")
    hours.rename(*(f"u{n}" for n in range(1, 13)))
    passed = hours.apply("--since", *guard)
    hours.rename(*(f"u{n}" for n in range(1, 14)))
    held = hours.apply("--since", *guard, code=5)

    assert (passed.json["guards"]["update"]["base"], passed.json["guards"]["update"]["limit"]) == (USERS, 12)
    assert (held.json["guards"]["update"]["base"], held.json["outcomes"]["held"]) == (USERS, 13)


PUT = {"method": "PUT", "path": "/users/u7"}
ENDS: dict[str, tuple[int, tuple[str, ...], dict[str, Any]]] = {
    "rejected": (4, (), {"kind": "status", "code": 400, "error": "ERR_BAD_REQUEST", **PUT}),
    "failed": (4, (), {"kind": "status", "code": 409, **PUT, "times": 99}),
    "held": (5, ("--set", "guards.update={percent=0, floor=0}"), {}),
    "a canary": (0, ("--limit", "1"), {}),
    "unknown": (4, (), {"kind": "status", "code": 422, "method": "GET", "path": "/users/u7", "times": 99}),
    "stopped": (7, (), {"kind": "revoke_key", "method": "GET", "path": "/users/u7"}),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_mark_moves_only_when_nobody_is_left_out_of_step(hours: Hours, end: str) -> None:
    """Whatever else happened, the next run begins where this one did, and does the rest."""
    code, flags, fault = ENDS[end]
    # By uid, so that each of them is looked at also where a walk would do.
    hours.sandbox.load_users({"uid": f"more-{n}", "name": "More", **MADE} for n in range(4_000))
    hours.rename("u7", "u8")
    if fault:
        hours.sandbox.fault(**fault)
    ended = hours.shell("apply", "--yes", "--json", "--since", *flags)
    hours.sandbox.clear_faults()
    hours.sandbox.restore_key()

    assert ended.code in {code, 8 if code == 7 else code}, ended.out
    assert hours.mark == MARK
    again = hours.apply("--since")
    assert since(again) == OVERLAP
    assert {hours.sandbox.users()[uid]["name"] for uid in ("u7", "u8")} == {"Wren 7 II", "Wren 8 II"}
    assert hours.mark == LATER


def test_users_that_are_left_to_somebody_elses_newer_change_hold_the_mark(hours: Hours) -> None:
    """policy.newer = "skip" leaves them for now, so the next run has to read them again."""
    policy = ("--set", "policy.newer=skip", "--set", "source.as_of=2024-05-02T00:00:00Z")
    assert since(hours.apply("--accept-mapping", "--accept-source", *policy)) is None
    hours.rename("u7")
    hours.sandbox.load_users([{**hours.sandbox.users()["u7"], "updatedAt": 1_750_000_000}])
    result = hours.apply("--since", "--accept-source", *policy)

    assert (since(result), result.json["drift"]["drifted"], result.json["plan"]["update"]) == (OVERLAP, 1, 0)
    assert hours.mark == MARK


def test_everything_is_read_where_a_part_would_not_do_and_that_is_said(shell: Shell, sandbox: Sandbox) -> None:
    """The first time, under other settings, after too long, after an undo."""
    hours = Hours(shell, sandbox)
    hours.execute("create table users (id text, name text, plan text, moved text)")
    hours.add(*((f"u{n}", f"Wren {n}", "default", MARK) for n in range(5)))
    first, second = hours.apply("--since"), hours.apply("--since")
    changed = hours.run("plan", "--since", "--map", "metadata.plan=plan")
    longer = hours.run("plan", "--since", "--set", "source.since.overlap=1h")
    hours.age("2024-05-01T00:00:00+00:00")
    old = hours.apply("--since")
    usual = hours.apply("--since")
    hours.rename("u1")
    named = hours.apply("--since").json["run_id"]
    hours.run("undo", named, "--yes")
    undone = hours.run("plan", "--since")

    assert [since(result) for result in (second, usual)] == [OVERLAP, OVERLAP]
    for result, words in (
        (first, "no run of full success has left a watermark so far"),
        (changed, "settings or version are others than in run"),
        (longer, "settings or version are others than in run"),
        (old, "was the last that read everything, 7d ago or longer"),
        (undone, "or one was undone since"),
    ):
        assert since(result) is None
        assert words in notes(result)
        assert result.json["drift"]["unmanaged"] is not None


def test_a_dry_run_looks_and_leaves_the_mark(hours: Hours) -> None:
    """Also one that finds nothing to do."""
    hours.rename("u7")
    looked = hours.run("plan", "--since", "--check", code=3)
    hours.apply()
    hours.execute("update users set moved = '2024-06-01 00:00:00' where id = 'u8'")
    again = hours.run("plan", "--since")

    assert (since(looked), looked.json["plan"]["update"]) == (OVERLAP, 1)
    assert (since(again), again.json["verdict"]) == (LATER_OVERLAP, "in_step")
    assert hours.mark == LATER


def test_a_value_may_be_named_and_a_gap_before_it_holds_the_mark(hours: Hours) -> None:
    """Nobody has seen what lies between."""
    hours.rename("u7")
    beyond = hours.apply("--since", "2024-05-01T10:30")
    mark = hours.mark
    before = hours.apply("--since", "2024-05-01")

    assert (since(beyond), mark) == ("2024-05-01 10:30:00", MARK)
    assert (since(before), before.json["source"]["rows"], hours.mark) == ("2024-05-01 00:00:00", USERS, LATER)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("plan", "--since", "--source", "users.csv", "--set", "source.table="), "a file is read whole anyway"),
        (("plan", "--since", "--set", "source.since.column="), "a column that says when a row changed"),
        (("plan", "--since", "yesterday"), "neither a time nor a number"),
        (("plan", "--since", "2024-05-01T00:00:00Z"), "has a zone, and the column has none"),
        (("plan", "--since", "--expect-rows", "4"), "--expect-rows is of the whole export"),
        (("apply", "--yes", "20260101T000000Z-0000", "--since"), "goes with a plan that is made now"),
        (("plan", "--set", "source.since.query=select 1"), "has no :since in it"),
        (("plan", "--set", "source.since.overlap=soon"), "source.since.overlap"),
        (("plan", "--set", "source.since.overlap=0s"), "shorter than a second"),
        (("plan", "--set", "source.since.full_every=none"), "source.since.full_every"),
        (
            ("plan", "--set", "source.since.overlap=600"),
            "source.since.overlap is a number, and the column holds times",
        ),
        (("plan", "--set", "source.since.columns=moved"), "did you mean source.since.column?"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked_for(
    hours: Hours, argv: tuple[str, ...], words: str
) -> None:
    """Exit code 2, with the remedy."""
    result = hours.run(*argv, code=2)

    assert words in result.out
    assert hours.sandbox.log() == []


def test_every_form_of_the_report_says_that_it_is_of_a_part(hours: Hours) -> None:
    """And from which value on; so does the list of runs. One of the whole says nothing of the kind."""
    hours.rename("u7")
    part = hours.apply("--since").json["run_id"]
    words = f"moved from {OVERLAP} on"

    for form in ("text", "json", "md", "html"):
        shown = hours.shell("report", "--format", form).out.replace("\\", "")
        assert OVERLAP in shown
        assert form == "json" or words in shown
        assert "who left the source" in shown
    hours.apply()
    assert words not in hours.shell("report").out
    listed = hours.shell("runs").out
    assert [line.split()[0] for line in listed.splitlines() if "*" in line] == [part, "*"]
    assert "* read only what had changed (--since)" in listed


def test_metrics_of_a_part_claim_nothing_of_the_whole(hours: Hours) -> None:
    """The numbers of users are left out; what was done, and that it went well, is not."""
    path = hours.shell.folder / "metrics.prom"
    whole = samples(path.read_text("utf-8"))
    hours.rename("u7")
    report = hours.apply("--since").json
    part = samples(path.read_text("utf-8"))

    assert whole["reconcile_users", "in_step"] == USERS
    assert whole["reconcile_partial",] == 0
    assert part["reconcile_partial",] == 1
    full, last = (f"reconcile_last_{what}_timestamp_seconds" for what in ("full_success", "success"))
    assert part[full,] == whole[full,] == whole[last,]
    assert part[last,] >= part[full,]
    assert not {name for name, *_ in part} & {"reconcile_users", "reconcile_source_rows"}
    assert part["reconcile_changes", "applied"] == 1
    assert part["reconcile_run_info", report["run_id"], "apply", "applied"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "revoke_key", "method": "GET", "path": "/users"},
        {"kind": "revoke_key", "method": "PUT", "path": "/users/u8"},
    ],
    ids=["before the plan", "among the writes"],
)
def test_a_run_that_was_stopped_is_finished_from_the_same_watermark(hours: Hours, fault: dict[str, Any]) -> None:
    """Whether it has to plan again or not; and then the mark moves."""
    hours.rename("u7", "u8")
    hours.sandbox.fault(**fault)
    stopped = hours.shell("apply", "--yes", "--json", "--since")
    hours.sandbox.clear_faults()
    hours.sandbox.restore_key()
    if stopped.code == 7:
        # Nothing was written, so it counts as over; a kill at that moment would not.
        with closing(sqlite3.connect(hours.reader.path)) as state, state:
            state.execute("update runs set state = 'planning' where run_id = ?", (stopped.json["run_id"],))
    resumed = hours.run("resume")

    assert stopped.code in {7, 8}
    assert resumed.json["run_id"] == stopped.json["run_id"]
    assert (since(resumed), resumed.json["source"]["changed_by"]) == (OVERLAP, "moved")
    assert resumed.json["drift"]["unmanaged"] is None
    assert {hours.sandbox.users()[uid]["name"] for uid in ("u7", "u8")} == {"Wren 7 II", "Wren 8 II"}
    assert hours.mark == LATER


def test_a_run_over_a_part_is_tried_again_and_undone_as_any(hours: Hours) -> None:
    """Retry and undo go by what the run did."""
    hours.rename("u7", "u8")
    hours.sandbox.fault("status", method="PUT", path="/users/u8", code=400, error="ERR_BAD_REQUEST")
    first = hours.apply("--since", code=4).json["run_id"]
    hours.sandbox.clear_faults()
    retried = hours.run("retry", first, "--yes")
    undone = hours.run("undo", first, "--yes")
    users = hours.sandbox.users()

    assert (since(retried), retried.json["outcomes"]["applied"]) == (None, 1)
    # What was refused may have landed in part, so it is put back where it stands now.
    assert undone.json["outcomes"]["applied"] == 2
    assert (users["u7"]["name"], users["u8"]["name"]) == ("Wren 7", "Wren 8")
    assert hours.mark is None


def test_a_saved_plan_over_a_part_is_applied_and_leaves_the_mark(hours: Hours) -> None:
    """Whoever reviewed it has not read the source again."""
    hours.rename("u7")
    planned = hours.run("plan", "--since").json["run_id"]
    applied = hours.run("apply", planned, "--yes")

    assert (since(applied), applied.json["outcomes"]["applied"]) == (OVERLAP, 1)
    assert hours.mark == MARK


def test_a_uid_of_two_rows_is_left_alone_also_where_one_of_them_is_read(hours: Hours) -> None:
    """A part shows one; the other is known from the last run that read everything."""
    hours.add(("twin", "Twin", "", EARLIER), ("Twin", "Other twin", "", EARLIER))
    hours.apply()
    hours.execute("update users set name = 'Third', moved = ? where id = 'twin'", LATER)
    part = hours.apply("--since")
    hours.execute("delete from users where id = 'Twin'")
    whole = hours.apply()

    assert (part.json["source"]["quarantined"], part.json["plan"]["create"]) == (1, 0)
    assert (whole.json["source"]["quarantined"], whole.json["plan"]["create"]) == (0, 1)


def test_a_server_is_asked_for_what_changed(
    shell: Shell, sandbox: Sandbox, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own types, from the first night to the hour after it."""
    hours = Hours(shell, sandbox)
    kind = "timestamptz" if server.kind == "postgresql" else "datetime"
    server.execute(f"create table users (id varchar(20), name varchar(20), plan varchar(20), moved {kind})")
    server.load("users", [(f"u{n}", f"Wren {n}", "default", MARK) for n in range(5)])
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", server.url())
    hours.apply()
    server.execute("update users set name = 'Robin', moved = '2024-05-01 11:00:00' where id = 'u3'")
    server.execute("update users set moved = '2024-05-01 09:00:00' where id <> 'u3'")
    result = hours.apply("--since")

    assert (result.json["source"]["rows"], result.json["plan"]["update"]) == (1, 1)
    assert hours.sandbox.users()["u3"]["name"] == "Robin"
    assert str(since(result)).replace("T", " ").startswith(OVERLAP)


def test_the_hours_do_not_push_out_the_nights(hours: Hours) -> None:
    """run.keep counts runs over a part apart; the list of runs says which they are."""
    keep = ("--set", "run.keep=2")
    nights = [hours.apply(*keep).json["run_id"] for _ in range(2)]
    for _ in range(4):
        hours.apply("--since", *keep)
    rows = hours.shell("runs", "--json").json["runs"]

    assert {row["run_id"] for row in rows if row["since"] is None} == set(nights)
    assert [row["since"] for row in rows if row["since"]] == [OVERLAP] * 2


def test_the_functions_take_it_too(hours: Hours) -> None:
    """Empty it is the flag without a value; what makes no sense is refused as it is on the command line."""
    structlog.reset_defaults()  # what the commands of the fixture had set up
    hours.rename("u7")
    applied = apply(since="")

    assert (applied.report.source.since, applied.is_done, hours.mark) == (OVERLAP, True, LATER)
    with pytest.raises(ReconcileError, match="goes with a plan that is made now"):
        apply(applied.run_id, since="")


def test_the_doctor_knows_the_watermark(hours: Hours) -> None:
    """And what the last run was that read everything."""
    run_id = hours.reader.runs()[0].run_id
    findings = {finding["what"]: finding["words"] for finding in hours.run("doctor").json["findings"]}

    assert f"watermark of --since is {MARK}, and run {run_id} was the last" in findings["state"]


def test_everything_left_of_such_a_run_is_there(hours: Hours) -> None:
    """A part has the same files as a whole."""
    hours.rename("u7")
    folder = Path("runs") / hours.apply("--since").json["run_id"]

    names = {path.name for path in (hours.shell.folder / folder).iterdir()}
    assert names == {"plan.jsonl.gz", "report.json", "report.html", "report.md", "changes.csv", "quarantine.csv"}


class Day:
    """A day of hours over a table that people change, some of them late, and a service that refuses some writes."""

    def __init__(self, hours: Hours, random: Random) -> None:
        self.hours = hours
        self.random = random
        self.now = datetime.fromisoformat(MARK)
        self.gone: set[str] = set()

    def hour(self) -> None:
        """Let people change rows, and one run look at them, in whatever weather."""
        self.now += timedelta(hours=1)
        for _ in range(self.random.randrange(4)):
            self.change()
        refused = [f"u{n}" for n in self.random.sample(range(USERS), self.random.choice([0, 0, 3, 20]))]
        for uid in refused:
            self.hours.sandbox.fault(
                "status", method="PUT", path=f"/users/{uid}", code=400, error="ERR_BAD_REQUEST"
            )
        flags = self.random.choice([(), (), ("--limit", "1"), ("--set", "guards.update={percent=0, floor=1}")])
        result = self.hours.shell("apply", "--yes", "--json", "--since", *flags)
        self.hours.sandbox.clear_faults()
        assert result.code in {0, 4, 5}, (result.out, result.err)
        assert result.json["plan"]["deactivate"] == 0

    def change(self) -> None:
        """Change, add or delete one row."""
        # Some were stamped before the last run and committed after it, but within the overlap.
        late = timedelta(hours=self.random.randrange(2), minutes=self.random.randrange(10))
        stamp = (self.now - late).isoformat(" ")
        uid = f"u{self.random.randrange(USERS)}"
        match self.random.randrange(4):
            case 0:
                self.hours.execute("delete from users where id = ?", uid)
                self.gone.add(uid)
            case 1:
                self.hours.add((f"n{self.random.randrange(10**9)}", "New", "default", stamp))
            case _:
                name = f"Robin {self.random.randrange(10**6)}"
                self.hours.execute("update users set name = ?, moved = ? where id = ?", name, stamp, uid)


@pytest.mark.parametrize("case", range(how_many(2, soak=100)))
def test_whatever_happens_in_a_day_of_hours_the_last_good_one_leaves_nobody_behind(
    hours: Hours, case: int
) -> None:
    """Refused, held, limited, late: what changed is brought in step in the end, and who left the source stays."""
    day, outside = Day(hours, dice(case)), hours.sandbox.users()["outside"]
    for _ in range(8):
        day.hour()
    hours.apply("--since")
    users = hours.sandbox.users()
    with closing(sqlite3.connect(hours.path)) as database:
        rows = dict(database.execute("select id, name from users").fetchall())

    assert {uid: users[uid]["name"] for uid in rows} == rows
    assert not [uid for uid in day.gone if users[uid].get("deactivatedAt")]
    assert users["outside"] == outside
    assert hours.apply().json["drift"]["in_step"] == len(rows)

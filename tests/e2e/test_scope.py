"""`policy.unmanaged_scope`: only users that are ours are deactivated, and how a user becomes ours."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import StateReader
from reconcile.store.users import read_users
from tests.conftest import Result, Shell
from tests.e2e.profiles import under_one_profile

MADE = {"createdAt": 1_700_000_000}
RATES = ("--set", "limits.core_per_minute=9000", "--set", "limits.standard_per_minute=18000")
SWITCH_OFF = (
    *("--set", "policy.unmanaged=deactivate", "--accept-mapping"),
    *("--set", "guards.deactivate={percent=100, floor=99}"),
)
PLAN_OFF = tuple(word for word in SWITCH_OFF if word != "--accept-mapping")
SHRUNK = ("--set", "guards.max_shrink_percent=100")


class Job:
    """The command line over an export of uids; strangers are users that no export ever had."""

    def __init__(self, shell: Shell, sandbox: Sandbox) -> None:
        self.shell = shell
        self.sandbox = sandbox
        self.users = shell.folder / "runs" / "users.hashes"

    def export(self, *uids: str) -> None:
        """Write the export."""
        self.shell.write("users.csv", "uid,name\n" + "".join(f"{uid},Same\n" for uid in uids))

    def run(self, *argv: str, code: int = 0) -> Result:
        """Run a command, and see that it ends as it should."""
        result = self.shell(*argv, "--json", *RATES, *SHRUNK)
        assert result.code == code, (result.out, result.err)
        return result

    def apply(self, *uids: str, code: int = 0, more: tuple[str, ...] = ()) -> Result:
        """Apply an export of these uids in one go; whoever it lacks is to be deactivated."""
        self.export(*uids)
        return self.run("apply", "--yes", *SWITCH_OFF, *more, code=code)

    @property
    def off(self) -> set[str]:
        """Who is deactivated."""
        return {uid for uid, user in self.sandbox.users().items() if user.get("deactivatedAt")}

    def known(self) -> int:
        """How many users the file has."""
        found = read_users(self.users, StateReader(self.users.with_name("state.sqlite")).known_salt())
        return 0 if found is None else len(found)


@pytest.fixture
def job(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Users of the app's own and three strangers, all in CometChat before the first run."""
    (shell.folder / "reconcile.toml").unlink()
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", "users.csv")
    uids = [*(f"u{n}" for n in range(8)), *(f"stranger-{n}" for n in range(3))]
    sandbox.load_users({"uid": uid, "name": "Same", **MADE} for uid in uids)
    return Job(shell, sandbox)


@pytest.mark.parametrize("parts", ["0", "3"])
def test_strangers_are_never_deactivated_and_who_left_the_source_is(job: Job, parts: str) -> None:
    """The first night knows nobody and says so; from the second on whoever left is known."""
    parted = ("--set", f"run.partitions={parts}")
    first = job.apply("u0", "u1", "u2", more=parted)
    assert job.off == set()
    assert (first.json["drift"]["unmanaged"], first.json["drift"]["unmanaged_out_of_scope"]) == (8, 8)
    assert first.json["notes"][0].startswith("no user is known to be ours yet")

    second = job.apply("u0", "u1", more=parted)

    assert job.off == {"u2"}
    assert (second.json["drift"]["unmanaged"], second.json["drift"]["unmanaged_out_of_scope"]) == (9, 8)
    assert second.json["plan"]["deactivate"] == 1
    assert any("reconcile plan --set policy.unmanaged_scope=all" in note for note in second.json["notes"])
    assert job.known() == 3
    assert job.users.stat().st_mode & 0o777 == 0o600


@under_one_profile
def test_everybody_is_in_scope_where_somebody_wrote_it_by_hand(job: Job) -> None:
    """And then nothing is said about a scope."""
    result = job.apply(*(f"u{n}" for n in range(8)), more=("--set", "policy.unmanaged_scope=all"))

    assert job.off == {"stranger-0", "stranger-1", "stranger-2"}
    assert result.json["drift"]["unmanaged_out_of_scope"] is None


@under_one_profile
def test_users_that_a_run_created_are_ours_whatever_the_export_was(job: Job) -> None:
    """Also those of an export that somebody had to let pass."""
    job.export("new-1", "u0")
    job.run("apply", "--yes", "--accept-source")
    assert not job.users.exists()

    job.apply("u1")

    assert job.off == {"new-1"}


@under_one_profile
@pytest.mark.parametrize(
    ("teach", "learns"),
    [
        (lambda job: job.run("plan"), False),
        (lambda job: job.run("apply", "--yes", "--accept-source"), False),
        (lambda job: job.run("apply", "--yes"), True),
        (lambda job: job.run("apply", job.run("plan").json["run_id"], "--yes"), True),
        (lambda job: job.run("apply", job.run("plan", "--accept-source").json["run_id"], "--yes"), False),
    ],
    ids=["plan", "accepted", "apply", "apply RUN", "apply RUN of an accepted export"],
)
def test_a_uid_becomes_ours_by_an_apply_of_an_export_that_passed_its_checks(
    job: Job,
    teach: Callable[[Job], Any],
    learns: bool,  # noqa: FBT001
) -> None:
    """Never by a plan alone; nothing had to be written to them."""
    job.export("u0", "u1")
    teach(job)
    job.apply("u1")

    assert job.off == ({"u0"} if learns else set())


@under_one_profile
def test_rows_in_quarantine_teach_nothing(job: Job) -> None:
    """Nobody knows whom they meant."""
    job.shell.write("users.csv", "uid,name\nu0,Same\nu1,\nu2,Same\nU2,Same\n")
    job.run("apply", "--yes")
    assert job.known() == 1

    job.apply("u3")

    assert job.off == {"u0"}


@under_one_profile
def test_an_unreviewed_apply_teaches_nothing_until_it_is_carried_out(job: Job) -> None:
    """The export may have been read with a mapping that nobody has looked at."""
    job.export("u0", "first")
    job.run("apply", "--yes")
    job.export("u0", "second")
    waiting = job.run("apply", "--yes", "--set", "policy.empty=keep", code=5)
    assert job.known() == 2

    job.run("apply", waiting.json["run_id"], "--yes", "--set", "policy.empty=keep")

    assert job.known() == 3


@under_one_profile
def test_a_resume_teaches_what_its_run_had_read(job: Job) -> None:
    """The source is not read again there, and may be gone by then."""
    job.shell.write("users.csv", "uid,name\n" + "".join(f"u{n},New\n" for n in range(6)))
    job.sandbox.fault("revoke_key", method="PUT", path="/users/*", nth=3)
    job.run("apply", "--yes", code=8)
    job.sandbox.clear_faults()
    job.sandbox.restore_key()
    assert job.known() == 0
    (job.shell.folder / "users.csv").unlink()
    job.run("resume")
    assert job.known() == 6

    job.apply("u0", "u1", "u2", "u3", "u4")

    assert "u5" in job.off


@under_one_profile
def test_a_run_on_the_journal_of_an_older_version_knows_everybody_that_it_wrote_to(job: Job) -> None:
    """That version kept neither the users of an export nor the time of a write."""
    job.shell.write("users.csv", "uid,name\nu0,New\nu1,Same\nnew-1,Same\n")
    job.run("apply", "--yes")
    job.users.unlink()
    with closing(sqlite3.connect(job.users.with_name("state.sqlite"))) as state:
        state.executescript("DROP TABLE intent_times; DELETE FROM probes WHERE name = 'users.hashes';")
    told = job.shell("explain", "u0", *RATES, *PLAN_OFF).out

    job.apply("u2")

    assert "in the directory" not in told
    assert job.off == {"u0", "new-1"}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@under_one_profile
@pytest.mark.parametrize("harm", [_cut, _flip, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_or_missing_file_of_users_is_said_and_deactivates_nobody(
    job: Job, harm: Callable[[Path], Any]
) -> None:
    """The next apply that ends well begins a new one."""
    job.apply("u0", "u1", "u2")
    harm(job.users)
    second = job.apply("u0", "u1")

    assert job.off == set()
    assert str(job.users.name) in second.json["notes"][0]
    assert "nobody counts as ours because of it" in second.json["notes"][0]
    job.apply("u0")
    assert job.off == {"u1"}


@under_one_profile
def test_forget_takes_a_user_out_of_every_file_of_users(job: Job) -> None:
    """Beside the state and beside a plan; a row that is still in the export brings it back into neither."""
    job.apply("u0", "u1", "u2")
    plan = job.run("plan", *PLAN_OFF).json["run_id"]
    beside = job.users.parent / plan / job.users.name
    job.shell("forget", "u2", "--yes")
    salt = StateReader(job.users.with_name("state.sqlite")).known_salt()
    found = read_users(beside, salt)
    assert found is not None
    assert (job.known(), len(found)) == (2, 2)

    job.apply("u0", "u1", "u2")

    assert job.known() == 2


@under_one_profile
def test_explain_says_that_a_user_is_out_of_scope(job: Job) -> None:
    """With the setting that says so; for one in scope it shows the change."""
    job.apply("u0", "u1")
    job.export("u0")
    stranger, left = (job.shell("explain", uid, *RATES, *PLAN_OFF).out for uid in ("stranger-0", "u1"))

    assert 'policy.unmanaged_scope is "ours"' in stranger
    assert "nothing would be written" in stranger
    assert "not in the source" in left
    assert "unmanaged_scope" not in left


@under_one_profile
def test_the_terminal_counts_who_is_out_of_scope_within_the_unmanaged(job: Job) -> None:
    """The number stands beside the other, and so nobody reads it as a sum."""
    job.apply("u0", "u1")
    job.export("u0")

    assert "10 unmanaged (9 out of scope)" in job.shell("plan", *RATES, *SHRUNK, *PLAN_OFF).out


@under_one_profile
def test_a_retry_adds_nobody(job: Job) -> None:
    """It looks at a few users of the run before."""
    job.apply("u0", "u1")
    job.shell.write("users.csv", "uid,name\nu0,New\nu1,Same\nu7,Same\n")
    job.sandbox.fault("status", code=400, error="ERR_BAD_REQUEST", method="PUT", path="/users/u0", times=1)
    failed = job.run("apply", "--yes", *SWITCH_OFF, "--accept-source", code=4)
    job.sandbox.clear_faults()
    job.run("retry", failed.json["run_id"], "--yes", *PLAN_OFF)

    assert job.known() == 2


@under_one_profile
def test_a_resumed_run_of_a_version_without_a_scope_deactivates_no_stranger(job: Job) -> None:
    """Its plan has them; the last look leaves them alone, with the reason."""
    job.apply("u0", "u1", "u2")
    job.shell.write("users.csv", "uid,name\nu0,New\nu1,New\n")
    everybody = ("--set", "policy.unmanaged_scope=all")
    job.sandbox.fault("revoke_key", method="PUT", path="/users/*", nth=2)
    stopped = job.run("apply", "--yes", *SWITCH_OFF, *everybody, code=8)
    job.sandbox.clear_faults()
    job.sandbox.restore_key()
    with closing(sqlite3.connect(job.users.with_name("state.sqlite"))) as state:
        state.execute(
            "UPDATE runs SET settings = replace(settings, ',\"unmanaged_scope\":\"all\"', '') WHERE run_id = ?",
            (stopped.json["run_id"],),
        )
        state.commit()
    resumed = job.run("resume", code=4)

    assert job.off == {"u2"}
    assert resumed.json["outcomes"]["skipped"] == 8

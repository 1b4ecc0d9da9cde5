"""What somebody planted in the state file is checked as settings are, and nothing is removed that is not provably ours."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconcile.sandbox.testing import Sandbox, running_sandbox
from tests.conftest import Shell

RUN = "20261123T021500Z-3f9a"


def plant(shell: Shell, sql: str, *values: Any) -> None:
    """Change the state file behind the job's back."""
    with closing(sqlite3.connect(shell.folder / "runs" / "state.sqlite", isolation_level=None)) as state:
        state.execute(sql, values)


@pytest.fixture
def night(shell: Shell, drifted: Sandbox) -> Shell:
    """A run directory in which a run wrote."""
    assert drifted.counters().writes == 0
    assert shell("apply", "--yes").code in {0, 4}
    return shell


def _unfinished(shell: Shell, change: Callable[[dict[str, Any]], None]) -> None:
    """Make the run one that has to be resumed, with settings of one's own."""
    with closing(sqlite3.connect(shell.folder / "runs" / "state.sqlite", isolation_level=None)) as state:
        (text,) = state.execute("SELECT settings FROM runs").fetchone()
        recorded = msgspec.json.decode(text)
        change(recorded)
        state.execute(
            "UPDATE runs SET state = 'applying', settings = ?", (msgspec.json.encode(recorded).decode(),)
        )


def test_a_planted_run_takes_the_key_to_no_other_host(night: Shell) -> None:
    """The app, its host and its scheme are those of today's settings."""
    with running_sandbox(app_id="demo") as other:
        _unfinished(night, lambda recorded: recorded["settings"]["cometchat"].update(base_url=other.base_url))
        result = night("resume")

        assert result.code == 2
        assert "and the settings name app demo" in result.err
        assert other.counters().requests == 0


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("cometchat", "base_url", "http://example.com/v3"),
        ("cometchat", "app_id", "../x"),
        ("limits", "share", 80),
        ("guards", "min_rows", -1),
        ("policy", "protect", ["[z-a]*"]),
        ("fields", "columns", {"password": {"column": "x"}}),
        ("fields", "columns", {"metadata.@private.x": {"column": "x"}}),
    ],
)
def test_recorded_settings_pass_the_checks_of_a_settings_file(
    night: Shell, drifted: Sandbox, section: str, key: str, value: Any
) -> None:
    """What a file could not say, a resumed run does not do."""
    _unfinished(night, lambda recorded: recorded["settings"][section].update({key: value}))
    before = drifted.counters().requests
    result = night("resume")

    assert result.code == 2
    assert "the recorded settings of the run cannot be used" in result.err
    assert drifted.counters().requests == before


def test_a_planted_certificate_authority_is_not_believed(night: Shell) -> None:
    """The way to the app is that of today's settings."""
    _unfinished(night, lambda recorded: recorded["settings"]["cometchat"].update(ca_file="planted.pem"))

    assert night("resume").code in {0, 4}


def test_what_is_protected_today_stays_protected_when_a_run_is_resumed(night: Shell, drifted: Sandbox) -> None:
    """Whatever the run was started with."""
    _unfinished(night, lambda recorded: recorded["settings"]["policy"].update(protect=[]))
    before = drifted.counters().writes
    result = night("resume", "--set", 'policy.protect=["*"]')

    assert result.code in {2, 8}
    assert "is protected" in result.out + result.err
    assert drifted.counters().writes == before


@pytest.mark.parametrize(
    "place",
    [
        "{other}",
        "file://{other}",
        "file://{other}/reconcile-" + RUN,
        "{store}/../other",
        "{store}/reconcile-x/../../other",
    ],
)
def test_a_sweep_removes_no_foreign_folder(shell: Shell, drifted: Sandbox, tmp_path: Path, place: str) -> None:
    """The state file names the places that runs have made; only those in today's `run.store` are ours."""
    other, store = tmp_path / "other", f"file://{tmp_path}/store"
    precious = other / f"reconcile-{RUN}" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    assert shell("plan").code == 0
    planted = place.format(other=other, store=store)
    plant(shell, "INSERT OR REPLACE INTO probes VALUES ('partitions', ?, '')", planted)
    results = [shell("plan"), shell("plan", "--set", f"run.store={store}"), shell("forget", "nobody", "--yes")]

    assert [result.code for result in results] == [0, 0, 0]
    assert precious.read_text() == "mine"
    assert "is not in run.store" in results[0].err
    assert drifted.counters().writes == 0


def test_a_sweep_goes_through_no_link(shell: Shell, drifted: Sandbox, tmp_path: Path) -> None:
    """A folder of the run directory that bears no run's name, or leads elsewhere, is left alone."""
    assert shell("plan").code == 0
    for name in ("backup", "elsewhere"):
        place = (shell.folder / "runs" if name == "backup" else tmp_path) / name / ".partitions"
        place.mkdir(parents=True)
        (place / "precious").write_text("mine")
    (shell.folder / "runs" / RUN).symlink_to(tmp_path / "elsewhere")
    assert shell("plan").code == 0

    assert (shell.folder / "runs" / "backup" / ".partitions" / "precious").exists()
    assert (tmp_path / "elsewhere" / ".partitions" / "precious").exists()
    assert drifted.counters().writes == 0


@pytest.mark.parametrize("run_id", ["..", "../other", "/etc", "backup", "a/b"])
def test_no_folder_is_removed_because_the_state_file_names_it(shell: Shell, drifted: Sandbox, run_id: str) -> None:
    """Old runs go by `run.keep`; what bears no run's name stays."""
    for name in ("other", "runs/backup"):
        (shell.folder / name).mkdir(parents=True)
        (shell.folder / name / "precious").write_text("mine")
    (shell.folder / "runs").chmod(0o700)
    assert shell("plan").code == 0
    plant(shell, "INSERT INTO runs (run_id, command, state, started_at, settings, tool_version) VALUES (?, 'plan', 'finished',"
          " '2020-01-01T00:00:00+00:00', '{}', '1')", run_id)  # fmt: skip
    result = shell("plan", "--set", "run.keep=1")

    assert "Traceback" not in result.err
    assert (shell.folder / "other" / "precious").exists()
    assert (shell.folder / "runs" / "backup" / "precious").exists()
    assert drifted.counters().writes == 0


PLANTED = {
    "an outcome that does not exist": ("UPDATE outcomes SET outcome = 'blessed'", ("report", "--redact", "--format", "csv")),
    "an action that does not exist": ("UPDATE outcomes SET action = 'delete'", ("undo", "latest", "--yes")),
    "a uid that is a path": ("UPDATE outcomes SET uid = '../roles/x'", ("undo", "latest", "--yes")),
    "a uid in capitals": ("UPDATE outcomes SET uid = upper(uid) || 'A', outcome = 'failed'", ("retry", "latest", "--yes")),
    "before-images that are no JSON": ("UPDATE intents SET before = '['", ("undo", "latest", "--yes")),
    "a time that is a text": ("UPDATE outcomes SET updated_at = 'now'", ("plan",)),
    "a baseline that is none": ("UPDATE baselines SET facts = '{}'", ("plan",)),
    "marks that are none": ("UPDATE meta SET value = '7' WHERE key = 'quarantine'", ("plan",)),
    "a mapping that is none": ("UPDATE probes SET answer = '[]' WHERE name = 'declared'", ("plan",)),
    "the name of a run": ("UPDATE runs SET run_id = '../x'", ("runs",)),
    "the time of a run": ("UPDATE runs SET started_at = 'noon', finished_at = 'night'", ("runs",)),
    "the writes of a run": ("UPDATE runs SET writes = 'many'", ("resume",)),
    "a report that is none": ("UPDATE runs SET report = '[]'", ("report", "--redact")),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
def test_what_no_run_writes_is_an_error_with_a_remedy(night: Shell, drifted: Sandbox, kind: str) -> None:
    """It is no bug, and nothing is done because of it."""
    sql, argv = PLANTED[kind]
    latest = (night.folder / "runs" / "latest").resolve().name
    before = drifted.counters().writes
    plant(night, sql)
    result = night(*(latest if part == "latest" else part for part in argv))

    assert result.code == 2, result
    assert "Traceback" not in result.err
    assert "holds what reconcile does not write" in result.out + result.err or "cannot be read" in result.err
    assert drifted.counters().writes == before

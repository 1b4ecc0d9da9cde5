"""Promises about the order of runs: it is the order in which they began, whatever the clock said."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from reconcile.core.baseline import Baseline
from reconcile.core.ours import Left
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action
from reconcile.store.erase import erase
from reconcile.store.state import RunRow, State, StateReader
from tests.store.builders import a_change

FUTURE, THEN, NOW = "20381127T021500Z-0001", "20261128T021500Z-0002", "20261129T021500Z-0003"
ENDED = "2026-11-29T02:20:00+00:00"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is."""
    return tmp_path / "state.sqlite"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    """A state file in which a run of a night with a wrong clock came first."""
    state = State(path, "orchard", lambda: 1_000.0)
    for run_id in (FUTURE, THEN, NOW):
        began(state, run_id)
    yield state
    state.close()


def began(state: State, run_id: str) -> None:
    """Begin a run."""
    state.begin(RunRow(run_id, "apply", "planning", "2026-11-29T02:15:00+00:00"), settings="{}", version="0")


def switched(state: State, run_id: str, action: Action, seq: int = 1) -> None:
    """Switch a user on or off."""
    change = a_change(seq, uid="plum", action=action)
    state.intend(run_id, change, {})
    state.settle(run_id, change, Settled(Outcome.APPLIED))
    state.flush()


def run_sql(path: Path, *statements: str) -> None:
    """Change the state file as another program."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_runs_are_listed_in_the_order_in_which_they_began(state: State) -> None:
    """Newest first, in every list."""
    report = b'{"n": 1}'
    for run_id in (FUTURE, THEN):
        state.finish(RunRow(run_id, "apply", "finished", "", ENDED, 0, "applied", run_id), report)

    assert [row.run_id for row in state.runs()] == [NOW, THEN, FUTURE]
    assert [turn.run_id for turn in state.turns(2)] == [NOW, THEN]
    assert len(list(state.reports(NOW, 9))) == 2
    assert list(state.reports(FUTURE, 9)) == []


def test_what_a_run_after_the_wrong_clock_did_is_the_last_word(state: State) -> None:
    """Switched off in 2038, on by us the night after: nothing of that is ours any more."""
    switched(state, FUTURE, Action.DEACTIVATE)
    switched(state, NOW, Action.REACTIVATE)

    assert state.own_deactivations() == {}
    assert [past.run_id for past in state.history("plum")] == [FUTURE, NOW]


def test_users_flap_within_the_last_runs(state: State, path: Path) -> None:
    """A run of 2038 is none of the last two."""
    for run_id in (FUTURE, NOW):
        switched(state, run_id, Action.UPDATE)

    assert StateReader(path).flapped(2) == []
    assert state.flapping(NOW, 2) == []
    assert state.flapping(NOW, 3) == [("plum", "name")]


def test_runs_of_older_versions_are_numbered_by_their_ids(state: State, path: Path) -> None:
    """Also those of which only what they did is left, and before anything that begins later."""
    switched(state, THEN, Action.DEACTIVATE)
    state.keep_baseline(Baseline("20250101T000000Z-0000", 1), "users.csv")
    run_sql(path, "DROP TABLE run_numbers", "DELETE FROM runs WHERE run_id LIKE '%0002'")

    assert [row.run_id for row in StateReader(path).runs()] == [FUTURE, NOW]
    again = State(path, "orchard")
    began(again, "20250601T000000Z-0000")
    again.close()
    with closing(sqlite3.connect(path)) as connection:
        numbers = connection.execute("SELECT run_id, number FROM run_numbers ORDER BY number").fetchall()

    assert numbers == [
        ("20250101T000000Z-0000", 1),
        (THEN, 2),
        (NOW, 3),
        (FUTURE, 4),
        ("20250601T000000Z-0000", 5),
    ]


def test_a_run_that_another_version_began_since_is_the_newest(state: State, path: Path) -> None:
    """It has no number until this version opens the file again."""
    run_sql(
        path,
        "INSERT INTO runs (run_id, command, state, started_at, settings, tool_version)"
        " VALUES ('20200101T000000Z-0000', 'plan', 'planning', '', '', '')",
    )

    assert state.runs()[0].run_id == "20200101T000000Z-0000"


def test_the_order_survives_runs_that_are_let_go(state: State) -> None:
    """The next number is a new one."""
    state.forget_runs([THEN, NOW])
    began(state, "20200101T000000Z-0000")

    assert [row.run_id for row in state.runs()] == ["20200101T000000Z-0000", FUTURE]


def test_the_dates_that_a_write_left_are_kept_and_forgotten(state: State, path: Path) -> None:
    """Exact where they were read back; erased with the user."""
    switched(state, THEN, Action.DEACTIVATE)
    before = state.own_deactivations(), state.undated(THEN)
    state.keep_left(THEN, 1, "plum", 5, 7)
    state.flush()
    after = state.own_deactivations(), state.undated(THEN)
    erase(path, "plum", "salt", "2026-11-29T00:00:00+00:00")
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM left_by_us").fetchall()

    assert before == ({"plum": Left(None, None, (700, 1_300))}, [(1, "plum", 1_000)])
    assert after == ({"plum": Left(5, 7)}, [])
    assert rows == []


def test_a_create_keeps_when_its_record_was_made(state: State) -> None:
    """An undo compares it with the record that is there then."""
    change = a_change(1, uid="plum", action=Action.CREATE)
    state.intend(THEN, change, {})
    state.settle(THEN, change, Settled(Outcome.APPLIED, created_at=5))
    state.flush()
    (past,) = state.written(THEN)

    assert past.left is not None
    assert (past.left.created_at, past.intended_at) == (5, 1_000)
    assert msgspec.structs.asdict(past)["updated_at"] is None

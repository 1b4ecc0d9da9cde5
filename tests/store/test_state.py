"""Promises about the state file: what it says was written, was written, and it says when it cannot write."""

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconcile.core.baseline import Baseline
from reconcile.core.guards import Bases
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action
from reconcile.errors import SettingsError, StateError
from reconcile.store.state import RunRow, State, StateReader
from tests.store.builders import a_change, a_process, said

RUN = "20260101T000000Z-aaaa"
LATER = "20260102T000000Z-bbbb"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is."""
    return tmp_path / "state.sqlite"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    """A new state file with one run in it."""
    state = State(path, "orchard")
    begin(state, RUN)
    yield state
    state.close()


def begin(state: State, run_id: str) -> None:
    """Note the start of a run."""
    state.begin(RunRow(run_id, "apply", "planning", "2026-01-01T00:00:00+00:00"), settings="{}", version="1")


def settle(state: State, run_id: str, seq: int, action: Action, outcome: Outcome, uid: str = "plum") -> None:
    """Record an outcome."""
    state.settle(run_id, a_change(seq, uid=uid, action=action), Settled(outcome, "why", 100 + seq, "ff"))


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Ask the file over a connection of our own."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


# Whose file it is


def test_a_state_file_is_made_where_there_is_none(path: Path) -> None:
    """And says that it is new, once."""
    with closing(State(path, "orchard")) as first:
        was_new = first.is_new
    with closing(State(path, "orchard")) as second:
        is_new = second.is_new

    assert (was_new, is_new) == (True, False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_state_file_is_bound_to_one_app(state: State, path: Path) -> None:
    """Another app's run would undo the guards of this one."""
    with pytest.raises(SettingsError) as refused:
        State(path, "meadow")

    assert "orchard" in refused.value.message
    assert "--run-dir" in refused.value.hint


def test_a_state_file_of_a_newer_version_is_refused(path: Path) -> None:
    """It is not touched."""
    State(path, "orchard").close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(SettingsError) as refused:
        State(path, "orchard")

    assert "newer" in refused.value.message
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"not a database, and long enough to be read as one " * 40, b"SQLite format 3\x00" * 9]
)
def test_a_file_that_is_no_state_file_is_a_state_error(path: Path, content: bytes) -> None:
    """It is not overwritten either."""
    path.write_bytes(content)
    with pytest.raises(StateError):
        State(path, "orchard")

    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["folder", "link", "no folder"])
def test_a_place_where_no_state_can_be_is_a_state_error(tmp_path: Path, kind: str) -> None:
    """It is no bug of ours."""
    path = tmp_path / ("absent/state.sqlite" if kind == "no folder" else "state.sqlite")
    if kind == "folder":
        path.mkdir()
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        State(path, "orchard")

    assert not (tmp_path / "elsewhere").exists()


# Runs


def test_a_run_is_known_from_its_start_to_its_end(state: State, path: Path) -> None:
    """The newest first."""
    begin(state, LATER)
    state.advance(LATER, "applying")
    state.finish(RunRow(RUN, "apply", "finished", "", "then", 4, "incomplete", "Incomplete.", 7), b"{}")
    found = StateReader(path).runs()

    assert [row.run_id for row in found] == [LATER, RUN]
    assert (found[0].state, found[0].exit_code) == ("applying", None)
    assert (found[1].state, found[1].exit_code, found[1].verdict, found[1].writes) == (
        "finished",
        4,
        "incomplete",
        7,
    )
    assert [row.run_id for row in StateReader(path).runs(1)] == [LATER]


def test_no_state_file_is_no_runs(path: Path) -> None:
    """Looking does not make one."""
    reader = StateReader(path)

    assert (reader.runs(), reader.baseline(), reader.own_writes(), list(reader.outcomes(RUN))) == (
        [],
        None,
        {},
        [],
    )
    assert not path.exists()


def test_runs_that_are_let_go_leave_their_outcomes(state: State) -> None:
    """They say what is ours."""
    settle(state, RUN, 1, Action.DEACTIVATE, Outcome.APPLIED)
    state.forget_runs([RUN])

    assert state.runs() == []
    assert set(state.own_deactivations()) == {"plum"}


# Intents and outcomes


def test_an_intent_is_durable_before_it_is_said_to_be(state: State, path: Path) -> None:
    """A second connection sees it at once."""
    for seq in range(1, 20):
        state.intend(RUN, a_change(seq), {"name": "Plum"})

        assert rows(path, "SELECT max(seq) FROM intents") == [(seq,)]


def test_an_intent_keeps_the_first_before_image(state: State, path: Path) -> None:
    """A second attempt of the same change meets our own write."""
    state.intend(RUN, a_change(1), {"name": "Plum"})
    state.intend(RUN, a_change(1), {"name": "Damson"})

    assert rows(path, "SELECT before, after FROM intents") == [('{"name":"Plum"}', '{"name":"Damson"}')]


def test_an_outcome_closes_its_intent(state: State) -> None:
    """What is left open is what a resume looks at."""
    for seq in (1, 2, 3):
        state.intend(RUN, a_change(seq), {})
    settle(state, RUN, 2, Action.UPDATE, Outcome.APPLIED)
    state.flush()

    assert state.open_intents(RUN) == {1, 3}
    assert state.open_intents(LATER) == set()


def test_outcomes_come_back_in_plan_order(state: State) -> None:
    """Whatever the order in which they settled; the last word on a change counts."""
    for seq in (3, 1, 2):
        settle(state, RUN, seq, Action.UPDATE, Outcome.FAILED)
    settle(state, RUN, 1, Action.UPDATE, Outcome.APPLIED)
    state.flush()

    assert list(state.outcomes(RUN)) == [
        (1, Settled(Outcome.APPLIED, "why", 101, "ff")),
        (2, Settled(Outcome.FAILED, "why", 102, "ff")),
        (3, Settled(Outcome.FAILED, "why", 103, "ff")),
    ]


def test_closing_makes_everything_durable(path: Path) -> None:
    """Also what nobody waited for."""
    state = State(path, "orchard")
    for seq in range(1, 501):
        settle(state, RUN, seq, Action.UPDATE, Outcome.APPLIED)
    state.close()

    assert rows(path, "SELECT count(*), max(seq) FROM outcomes") == [(500, 500)]


def test_many_threads_write_side_by_side(state: State, path: Path) -> None:
    """Nothing is lost, and nobody waits for ever."""

    def work(worker: int) -> None:
        for number in range(25):
            change = a_change(worker * 25 + number)
            state.intend(RUN, change, {"name": "Plum"})
            state.settle(RUN, change, Settled(Outcome.APPLIED))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    state.flush()

    assert rows(path, "SELECT count(*) FROM intents") == rows(path, "SELECT count(*) FROM outcomes") == [(400,)]
    assert state.open_intents(RUN) == set()


# What is ours


def test_the_latest_time_of_our_own_writes_is_known_by_user(state: State) -> None:
    """Over all runs."""
    settle(state, RUN, 1, Action.UPDATE, Outcome.APPLIED, "fig")
    settle(state, LATER, 5, Action.UPDATE, Outcome.APPLIED, "fig")
    settle(state, LATER, 6, Action.UPDATE, Outcome.APPLIED, "lime")
    state.flush()

    assert state.own_writes() == {"fig": 105, "lime": 106}
    assert state.own_writes(106) == {"lime": 106}


def test_whom_we_switched_off_and_not_on_again_is_known(state: State) -> None:
    """Only what was applied counts, and the last word."""
    settle(state, RUN, 1, Action.DEACTIVATE, Outcome.APPLIED, "fig")
    settle(state, RUN, 2, Action.DEACTIVATE, Outcome.APPLIED, "lime")
    settle(state, RUN, 3, Action.DEACTIVATE, Outcome.FAILED, "plum")
    settle(state, LATER, 1, Action.REACTIVATE, Outcome.APPLIED, "lime")
    settle(state, LATER, 2, Action.REACTIVATE, Outcome.FAILED, "fig")
    state.flush()

    assert set(state.own_deactivations()) == {"fig"}


def test_the_baseline_is_that_of_the_last_good_run(state: State) -> None:
    """Whatever its export was called."""
    state.keep_baseline(Baseline(LATER, 20, Bases(18, 30, 29, 1)), "users-2.csv")
    state.keep_baseline(Baseline(RUN, 10), "users-1.csv")

    assert state.baseline() == Baseline(LATER, 20, Bases(18, 30, 29, 1))


def test_two_good_runs_of_one_second_have_an_order(state: State) -> None:
    """Their ids differ in what was drawn; once the newer one counted as the older in half of all cases."""
    first, second, old = "20260101T000000Z-ffff", "20260101T000000Z-0000", "20270101T000000Z-aaaa"
    state.keep_baseline(Baseline(old, 1), "users.csv")
    state.keep_baseline(Baseline(first, 2, order=1), "users.csv")
    state.keep_baseline(Baseline(second, 3, order=2), "users.csv")

    assert [baseline.run_id for baseline in state.baselines()] == [second, first, old]


def test_what_turned_out_to_be_no_good_run_is_taken_back(state: State) -> None:
    """The one before it is the measure again."""
    state.keep_baseline(Baseline(RUN, 10), "users.csv")
    state.keep_baseline(Baseline(LATER, 20, empty={"avatar": 0.5}, accepted=("max_emptied",)), "users.csv")
    both = list(state.baselines())
    state.drop_baseline(LATER)

    assert [baseline.run_id for baseline in both] == [LATER, RUN]
    assert both[0].empty == {"avatar": 0.5}
    assert list(state.baselines()) == [Baseline(RUN, 10)]


def test_a_baseline_of_an_earlier_version_is_read(state: State, path: Path) -> None:
    """It had three facts, and gets the defaults of the others."""
    state.keep_baseline(Baseline(RUN, 10, Bases(1, 2, 3, 4)), "users.csv")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            """UPDATE baselines SET facts = '{"run_id": "old", "rows": 7, "bases": null, "of a later one": 1}'"""
        )

    assert state.baseline() == Baseline("old", 7)


def test_the_quarantine_of_the_last_good_run_is_remembered(state: State) -> None:
    """Never known is not the same as nobody."""
    told = [state.quarantine()]
    for marks in (frozenset({"a", "b"}), frozenset({"c"}), frozenset[str]()):
        state.keep_quarantine(marks)
        told.append(state.quarantine())

    assert told == [None, {"a", "b"}, {"c"}, set()]


def test_only_what_we_sent_is_our_own_write(state: State) -> None:
    """What agreed before we sent anything was moved by somebody else; what was skipped has a time where a part of it was sent."""
    for seq, outcome in enumerate(Outcome, start=1):
        settle(state, RUN, seq, Action.UPDATE, outcome, outcome.value)
    state.flush()

    assert set(state.own_writes()) == {"applied", "rejected", "skipped"}


def test_the_settings_of_a_run_are_kept(state: State) -> None:
    """A resume goes on with them."""
    state.intend(RUN, a_change(1), {})

    assert (state.settings_of(RUN), state.settings_of(LATER)) == ("{}", "")
    assert (state.intents(RUN), state.intents(LATER)) == (1, 0)


# Failure

_FULL_DISK = """
import resource, sys
from pathlib import Path
from reconcile.core.outcome import Outcome, Settled
from reconcile.errors import StateError
from reconcile.store.state import State
from tests.store.builders import a_change

state = State(Path(sys.argv[1]), "orchard")
state.intend("r", a_change(1), {})
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
done = 1
try:
    for seq in range(2, 5000):
        state.intend("r", a_change(seq), {"name": "x" * 500})
        done = seq
except StateError as error:
    print("refused", done, flush=True)
for write in (lambda: state.intend("r", a_change(9999), {}), lambda: state.settle("r", a_change(1), Settled(Outcome.APPLIED))):
    try:
        write()
        print("silence", flush=True)
    except StateError as error:
        print(error.hint, flush=True)
"""


@pytest.mark.parametrize("limit", [200_000])
def test_a_disk_that_fails_is_never_met_with_silence(path: Path, limit: int) -> None:
    """From the first failure on nothing is sent any more, and what was durable stays so."""
    with a_process(_FULL_DISK, path, limit) as process:
        word, number = said(process).split()
        rest = [said(process), said(process)]

    assert word == "refused"
    assert ["resume" in line for line in rest] == [True, True]
    assert rows(path, "SELECT count(*), max(seq) FROM intents") == [(int(number), int(number))]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_number_that_sqlite_has_no_room_for_is_a_state_error(path: Path) -> None:
    """Once it killed the writer, and everybody waited for ever."""
    state = State(path, "orchard")
    state.settle(RUN, a_change(1), Settled(Outcome.APPLIED, updated_at=2**70))
    with pytest.raises(StateError):
        state.flush()
    with pytest.raises(StateError):
        state.intend(RUN, a_change(2), {})
    state.close()


_WRITER = """
import sys
from pathlib import Path
from reconcile.core.outcome import Outcome, Settled
from reconcile.store.state import State
from tests.store.builders import a_change

state = State(Path(sys.argv[1]), "orchard")
for seq in range(1, 10**6):
    state.intend("r", a_change(seq), {"name": "Plum"})
    print(seq, flush=True)
    state.settle("r", a_change(seq), Settled(Outcome.APPLIED))
"""


@pytest.mark.parametrize("after", [1, 120])
def test_a_kill_loses_nothing_that_was_durable(path: Path, after: int) -> None:
    """And the next start finds a sound file."""
    with a_process(_WRITER, path) as process:
        last = [int(said(process)) for _ in range(after)][-1]
        process.kill()
    with closing(State(path, "orchard")) as state:
        intents = rows(path, "SELECT count(*), max(seq) FROM intents")[0]
        still_open = state.open_intents("r")

    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert int(str(intents[1])) >= last
    assert intents[0] == intents[1]
    assert len(still_open) <= 2

"""One run at a time, whoever starts how many; and nobody has to clean up after a run that was killed."""

import time
from pathlib import Path

import pytest

from tests.kills.scene import KILL, RESUME, Scene, newest, unfinished
from tests.kills.warm import Started
from tests.scale import dice, how_many


@pytest.mark.parametrize("case", range(how_many(10, soak=200)))
def test_of_two_starts_exactly_one_runs_and_after_its_death_the_next_does(scene: Scene, case: int) -> None:
    """The other ends with 9; killed, the winner leaves no lock that anybody waits for."""
    random = dice(f"starts/{case}")
    seen = scene.undisturbed("apply")
    folder, argv = scene.set_up("apply")
    second = argv if random.random() < 0.5 else RESUME
    scene.sandbox.fault("latency", low_ms=20, high_ms=20)
    started = [scene.start(folder, *argv)]
    time.sleep(random.uniform(0, 0.1))  # noqa: TID251 - a race
    started.append(scene.start(folder, *second))
    if case % 2:
        codes = sorted(run.wait() for run in started)
        assert codes in ([0, 9], [0, 0] if second is RESUME else [])
    else:
        alive = _winner(folder, started)
        alive.send(KILL)
        codes = sorted(run.wait() for run in started)
        # Killed before the other came to the lock, it leaves the way free at once.
        assert codes in ([-KILL, 9], [-KILL, 0])
        scene.sandbox.clear_faults()
        code, err = scene.run(folder, *(RESUME if unfinished(folder) else argv))
        assert code == 0, err
    ended = scene.see(folder)

    assert (ended.users, ended.writes) == (seen.users, seen.writes)


def test_two_run_directories_of_one_app_are_one_run(scene: Scene) -> None:
    """The lock of the app refuses the second, wherever it keeps its files."""
    folder, argv = scene.set_up("apply")
    scene.sandbox.fault("latency", low_ms=50, high_ms=50)
    first = scene.start(folder, *argv)
    _wait_for_requests(scene)
    code, err = scene.run(folder, *argv, "--run-dir", "elsewhere")

    assert code == 9
    assert "another run is at work" in err
    assert first.wait() == 0


def test_looking_at_runs_needs_no_lock_and_leaves_the_state_file_to_its_writer(scene: Scene) -> None:
    """Once `doctor` opened the state file to write beside a run: two writers can ruin a file of some SQLite versions."""
    folder, argv = scene.set_up("apply")
    earlier = newest(folder)
    scene.sandbox.fault("latency", low_ms=100, high_ms=100)
    first = scene.start(folder, *argv)
    _wait_for_requests(scene)
    steps = folder / "steps"
    codes = {
        command[0]: scene.run(folder, *command)[0]
        for command in (("runs",), ("report", earlier), ("explain", "stale-0"))
    }
    doctor, told = scene.run(folder, "doctor", trace=str(steps))
    first.send(KILL)

    assert codes == {"runs": 0, "report": 0, "explain": 0}
    assert doctor == 9
    assert first.wait() == -KILL
    assert "Traceback" not in told


def _wait_for_requests(scene: Scene) -> None:
    ends = time.monotonic() + 20
    while not scene.sandbox.counters().requests:
        assert time.monotonic() < ends, "nothing happened"
        time.sleep(0.005)  # noqa: TID251 - another process is at work


def _winner(folder: Path, started: list[Started]) -> Started:
    """Give the one that has signed the lock."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        try:
            signed = (folder / "runs" / "lock.holder").read_text("utf-8")
        except FileNotFoundError:
            signed = ""
        for run in started:
            if f'"pid":{run.pid},' in signed:
                return run
        time.sleep(0.005)  # noqa: TID251 - another process is at work
    raise AssertionError("nobody runs")

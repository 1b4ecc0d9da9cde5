"""SIGKILL at any moment, and again while it is mended: in the end it is as if nothing had happened."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.kills.scene import KILL, PATHS, RESUME, Scene, Seen, is_whole, settled, unfinished
from tests.kills.warm import Started
from tests.scale import dice, how_many

CASES = how_many(60, soak=600)


def _kill_somewhere(scene: Scene, folder: Path, argv: tuple[str, ...], seen: Seen, random: Random) -> Started:
    """Run a command and kill it at a step in the file system, at a request, or after a while."""
    way = random.choice(["step", "step", "arrived", "answered", "time"])
    if way == "step":
        started = scene.start(folder, *argv, die_at=random.randint(1, seen.steps))
        started.wait()
        return started
    if way == "time":
        started = scene.start(folder, *argv)
        time.sleep(random.uniform(0, 1.2 * seen.seconds))  # noqa: TID251 - a moment that nobody chose
        started.send(KILL)
        started.wait()
        return started
    pids: list[Started] = []
    with scene.at_request(
        random.randint(1, seen.requests), lambda: pids[0].send(KILL), answered=way == "answered"
    ):
        pids.append(scene.start(folder, *argv))
        pids[0].wait()
    return pids[0]


def _finish(scene: Scene, folder: Path, argv: tuple[str, ...], before: set[str]) -> None:
    """Do what a person would: resume, and where nothing was begun yet, begin again."""
    code, err = scene.run(folder, *RESUME)
    assert code == 0, err
    begun = {path.parent.name for path in (folder / "runs").glob("*/report.json")} - before
    if not begun:
        code, err = scene.run(folder, *argv)
        assert code == 0, err


@pytest.mark.parametrize("case", range(CASES))
def test_killed_anywhere_it_ends_as_if_nothing_had_happened(
    scene: Scene, case: int, record_property: Callable[[str, object], None]
) -> None:
    """Same users, same writes (so nothing twice), same outcomes, a sound state file, and no file that is half."""
    random = dice(f"killed/{case}")
    path = PATHS[case % len(PATHS)]
    seen = scene.undisturbed(path)
    folder, argv = scene.set_up(path)
    before = {item.parent.name for item in (folder / "runs").glob("*/report.json")}
    known = settled(folder)
    command = argv
    for _ in range(random.choice([1, 1, 2, 3])):
        code = _kill_somewhere(scene, folder, command, seen, random).wait()
        assert code in {-KILL, 0}
        is_whole(folder)
        now = settled(folder)
        assert {key: now[key] for key in known} == known
        known = now
        if code:
            record_property(f"outcome: killed while {unfinished(folder) or 'beginning or ended'}", 1)
        command = RESUME if unfinished(folder) else command
        begun = {item.parent.name for item in (folder / "runs").glob("*/report.json")} - before
        # Killed behind its end: a person would not begin anew.
        if not code or (begun and not unfinished(folder)):
            break
    _finish(scene, folder, argv, before)

    ended = scene.see(folder)
    assert ended.users == seen.users
    assert ended.writes == seen.writes
    assert ended.outcomes == seen.outcomes
    assert {key: value for key, value in settled(folder).items() if key in known} == known

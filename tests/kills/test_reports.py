"""Killed while it writes its report: every file is old, new or absent, never half."""

import shutil

import pytest

from tests.kills.scene import KILL, RESUME, Scene, is_whole, unfinished
from tests.scale import dice, how_many


@pytest.mark.parametrize("case", range(how_many(20, soak=300)))
def test_a_report_is_old_new_or_absent(scene: Scene, case: int) -> None:
    """Killed at a step of the report phase, over a report that was there: what is there is whole."""
    random = dice(f"reports/{case}")
    seen = scene.undisturbed("apply")
    folder, argv = scene.set_up("apply")
    # The last steps of a run are its report and its books: ten files, each written aside and swapped in.
    started = scene.start(folder, *argv, die_at=seen.steps - random.randrange(45))
    code = started.wait()
    is_whole(folder)

    # A run that groups its commits otherwise takes a step or two fewer than the one that was counted.
    assert code in {-KILL, 0}
    resumed, err = scene.run(folder, *(RESUME if unfinished(folder) else argv))
    assert resumed == 0, err
    is_whole(folder)
    ended = scene.see(folder)
    assert ended.users == seen.users
    assert not list((folder / "runs" / "latest").glob(".*"))
    shutil.rmtree(folder)

"""The n-th system call fails, or is the last one: the run ends as it says, and resume finishes it."""

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.kills.scene import KILL, RESUME, Scene, is_whole, unfinished
from tests.lacking import tracer
from tests.scale import dice, how_many

CALLS = ("write", "pwrite64", "fdatasync", "fsync", "rename", "sendto")
FAULTS = ("signal=KILL", "error=EIO", "error=ENOSPC")
# A send that fails while the connection lives is no fault of this world, and httpcore waits half a minute for its answer.
POINTS = [(call, fault) for fault in FAULTS for call in CALLS if call != "sendto" or fault == "signal=KILL"]
CASES = how_many(24, soak=180)
DOCUMENTED = {-KILL, 0, 2, 4, 7, 8}


@pytest.fixture(scope="module")
def strace() -> str:
    """The tracer; where it is missing the tests are skipped, but never in CI."""
    return tracer()


@pytest.mark.parametrize("case", range(CASES))
def test_a_system_call_that_fails_is_survived(
    scene: Scene, strace: str, case: int, record_property: Callable[[str, object], None]
) -> None:
    """A documented exit code or a kill, whole files, a sound journal; then the same end as undisturbed."""
    call, fault = POINTS[case % len(POINTS)]
    number = dice(f"syscalls/{case}").randint(1, 30 if call in {"write", "pwrite64"} else 10)
    seen = scene.undisturbed("apply")
    folder, argv = scene.set_up("apply")
    hold, traced = folder / "hold", folder / "traced"
    started = scene.start(folder, *argv, hold=str(hold))
    inject = f"inject={call}:{fault}:when={number}"
    with traced.open("wb") as log:
        tracer = subprocess.Popen(
            [strace, "-f", "-o", folder / "calls", "-e", f"trace={call}", "-e", inject, "-p", str(started.pid)],
            stderr=log,
        )
    while b"attached" not in traced.read_bytes():
        if tracer.poll() is not None:
            pytest.skip("a process may not be traced here")
        time.sleep(0.002)  # noqa: TID251 - another process is at work
    hold.touch()
    code = started.wait()
    tracer.wait()
    hit = b"INJECTED" in (folder / "calls").read_bytes() or code == -KILL
    record_property(f"outcome: {call} {fault}, {'ended with ' + str(code) if hit else 'never came'}", 1)
    is_whole(folder)
    err = started.err.read_text("utf-8")

    assert code in DOCUMENTED, err
    assert "Traceback" not in err
    if code:
        again, err = scene.run(folder, *(RESUME if unfinished(folder) else argv))
        assert again == 0, err
    ended = scene.see(folder)
    assert (ended.users, ended.writes) == (seen.users, seen.writes)

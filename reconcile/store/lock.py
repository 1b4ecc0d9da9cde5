"""
One run at a time: a lock of the run directory, and one of this user for the app.

Both are held by the operating system, which frees them when the process dies, however it dies. They do not
reach across machines.
"""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from reconcile.errors import RunLocked, StateError
from reconcile.store.artifacts import private_folder

__all__ = ["app_lock_path", "hold"]


def app_lock_path(environ: Mapping[str, str], app_id: str, host: str) -> Path:
    """Give the path of this user's lock for one app at one API."""
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{app_id}-{host}")
    return Path(base) / "reconcile" / f"{name}.lock"


@contextmanager
def hold(run_dir: Path, app_lock: Path, run_id: str) -> Iterator[None]:
    """
    Hold both locks for the block.

    Raises: RunLocked at once when another run has one, naming that run where it is known.
    """
    with ExitStack() as stack:
        for path in (run_dir / "lock", app_lock):
            _take(path, stack)
            stack.enter_context(_signed(path.with_suffix(".holder"), run_id))
        yield


def _take(path: Path, stack: ExitStack) -> None:
    try:
        private_folder(path.parent)
        lock = FileLock(path, timeout=0, mode=0o600, thread_local=False)
        lock.acquire()
    except Timeout:
        raise RunLocked(
            f"another run is at work{_holder(path.with_suffix('.holder'))}",
            hint=f"wait for it to end; the lock is {path}, and the system frees it when its process dies",
        ) from None
    except OSError as error:
        raise StateError(
            f"the lock {path} cannot be taken: {error.strerror}",
            hint="see that this user may write there, and run it again",
        ) from None
    stack.callback(lock.release)


@contextmanager
def _signed(path: Path, run_id: str) -> Iterator[None]:
    """Say beside a lock who holds it: for the message only, the lock itself decides."""
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "run_id": run_id}
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(facts))
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def _holder(path: Path) -> str:
    try:
        facts = msgspec.json.decode(path.read_bytes(), type=dict[str, str | int])
    except (OSError, msgspec.DecodeError):
        return ""
    return f": run {facts.get('run_id')}, process {facts.get('pid')} on {facts.get('host')}"

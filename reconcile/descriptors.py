"""How many files and connections this process may have open: enough for a run, and told as what it is where it is not."""

import errno
import os
import resource

from reconcile.errors import StateError

__all__ = ["check_enough", "raise_limit", "room", "too_few"]

_WANTED = 8192  # more than any run uses; without an end some systems refuse it
_RESERVE = 10  # for the plan, the report, the state file, and what a library opens for a moment
_ASSUMED_OPEN = 32  # where the system does not tell
_TOO_MANY = {errno.EMFILE, errno.ENFILE}
_HINT = (
    "allow more, then run it again: ulimit -n 1024; a run that had begun to write goes on with: reconcile resume"
)


def raise_limit() -> None:
    """Take as many open files as the system lets this user have, up to what a run could use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def room() -> int:
    """Give how many connections this process may open beside what it has open, and what it keeps free for its files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft - _open_now(soft) - _RESERVE


def check_enough() -> None:
    """Raises: StateError where there is no room for one connection."""
    lacking = 1 - room()
    if lacking > 0:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise StateError(
            f"this process may have {limit} files open at one time, and a run needs at least {limit + lacking}",
            hint=_HINT,
        )


def too_few(error: BaseException) -> StateError | None:
    """Say that descriptors ran out, where an error, or what caused it, means that; None where it means something else."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _TOO_MANY:
            break
        seen = seen.__cause__ or seen.__context__
    # Libraries tell it in words of their own: a name that cannot be resolved, a database that cannot be opened.
    if seen is None and not (_hides_it(error) and _is_spent()):
        return None
    return StateError("this process has too many files open; nothing else can be opened", hint=_HINT)


def _hides_it(error: BaseException) -> bool:
    return type(error).__name__ in {"ConnectError", "ConnectTimeout"} or "unable to open" in str(error)


def _is_spent() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in _TOO_MANY
    return False


def _open_now(most: int) -> int:
    for place in ("/proc/self/fd", "/dev/fd"):
        try:
            with os.scandir(place) as entries:
                return sum(1 for _ in entries) - 1  # the listing has one open itself
        except OSError as error:
            if error.errno in _TOO_MANY:
                return most
    return _ASSUMED_OPEN

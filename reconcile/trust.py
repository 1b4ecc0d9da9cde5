"""
Which files are believed: those that this user or root owns, and that no other user may write to.

What stands in the run directory decides what is deleted, sent and taken for ours, so another user who can write there
could decide it. The rule is that of ssh for its own files.
"""

import os
import stat
from pathlib import Path
from shlex import quote

from reconcile.errors import StateError

__all__ = ["distrusted", "is_open_to_all", "see_state", "see_trusted"]

_SIDE_FILES = ("", "-wal", "-shm", "-journal")  # what SQLite reads beside its file


def distrusted(path: Path, *, acts: bool = True) -> tuple[str, str] | None:
    """
    Return what is wrong with the owner or the mode of a path, and the command that mends it.

    None where nothing is wrong, or where there is nothing at the path. `acts` is whether something is done because of
    what is read: only then does root refuse the files of another user.
    Raises: OSError where the path cannot be looked at.
    """
    try:
        facts = path.stat()
        owners = {facts.st_uid, path.lstat().st_uid}  # a link is led elsewhere by its owner
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        return None  # a pipe or a device: nothing stays in it
    mine = os.geteuid()
    strangers = owners - {mine, 0}
    if strangers and (acts or mine != 0):
        return f"it belongs to the user {strangers.pop()}", f"chown -h {mine} {quote(str(path))}"
    if facts.st_mode & stat.S_IWOTH:
        return "every user may write to it", f"chmod o-w {quote(str(path))}"
    # In Kubernetes fsGroup makes a volume writable for a group of the process: that is the process itself.
    if facts.st_mode & stat.S_IWGRP and facts.st_gid not in {os.getegid(), *os.getgroups()}:
        return f"the group {facts.st_gid}, which is not ours, may write to it", f"chmod g-w {quote(str(path))}"
    return None


def is_open_to_all(path: Path) -> bool:
    """Whether every user of the machine may write to a file. Raises: OSError."""
    facts = path.stat()
    return stat.S_ISREG(facts.st_mode) and bool(facts.st_mode & stat.S_IWOTH)


def see_trusted(path: Path, *, acts: bool = True) -> None:
    """See that a path may be believed. Raises: StateError with the command that mends it."""
    try:
        found = distrusted(path, acts=acts)
    except OSError as error:
        raise StateError(
            f"{path} cannot be looked at: {error.strerror}",
            hint="see that this user may enter its folder, and run it again",
        ) from None
    if found is not None:
        what, command = found
        raise StateError(f"{path} is not trusted: {what}", hint=f"look at what is in it, then: {command}")


def see_state(path: Path, *, acts: bool = True) -> None:
    """See that a state file may be believed, with its folder and what SQLite keeps beside it. Raises: StateError."""
    see_trusted(path.parent, acts=acts)
    for ending in _SIDE_FILES:
        see_trusted(path.with_name(f"{path.name}{ending}"), acts=acts)

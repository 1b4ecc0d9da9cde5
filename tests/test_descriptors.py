"""Running out of file descriptors is told as that, whoever meets it and in whatever words."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from reconcile.descriptors import check_enough, too_few
from reconcile.errors import DirectoryBusy, StateError
from reconcile.sandbox.testing import Sandbox


@contextmanager
def none_left() -> Iterator[None]:
    """Let this process open nothing more for a moment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_connection_that_finds_none_left_is_no_outage(sandbox: Sandbox) -> None:
    """The HTTP library calls it a connection that failed."""
    with httpx.Client() as client, none_left(), pytest.raises(httpx.ConnectError) as failed:
        client.get(sandbox.base_url)
    told = too_few(failed.value)

    assert told is not None
    assert "ulimit -n" in told.hint


def test_a_database_that_finds_none_left_is_not_broken(tmp_path: Path) -> None:
    """SQLite says that it cannot open the file, and not why."""
    with none_left(), pytest.raises(sqlite3.OperationalError) as failed:
        sqlite3.connect(tmp_path / "state.sqlite")
    with none_left():
        told = too_few(failed.value)

    assert told is not None


def test_a_run_that_has_no_room_is_refused_at_its_start() -> None:
    """With the number that it needs."""
    with none_left(), pytest.raises(StateError) as refused:
        check_enough()

    assert "a run needs at least" in refused.value.message


@pytest.mark.parametrize("error", [OSError(111, "Connection refused"), DirectoryBusy("busy"), ValueError("no")])
def test_what_means_something_else_stays_what_it_is(error: Exception) -> None:
    """An outage is still one."""
    assert too_few(error) is None

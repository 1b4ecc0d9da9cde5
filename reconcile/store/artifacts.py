"""
Files that are whole or not there: written aside with mode 0600, synced, and swapped in.

Also where the files of a run stand, and which old runs are let go.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from reconcile.errors import SettingsError, StateError
from reconcile.trust import see_state, see_trusted

__all__ = [
    "RUN_ID",
    "RUN_NAME",
    "RunFolder",
    "drop_partitions",
    "open_run_dir",
    "partitions_aside",
    "private_folder",
    "prune",
    "replacing",
    "run_folder",
]

_PARTITIONS = ".partitions"
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")  # as `run.new_run_id` makes them
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a run's name is never a way to somewhere else


@contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """
    Give a file to write that takes its place at the end of the block; a failed block leaves the old one.

    Raises: StateError when the disk or its rights do not allow it.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        # O_NOFOLLOW and O_EXCL: nobody can have put a link in its place.
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.is_symlink():
            raise StateError(
                f"{path} is a link, and output is not written through links",
                hint="remove the link, and run it again",
            )
        aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}",
            hint="see that the disk has room and that this user may write there, and run it again",
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_run_dir(run_dir: Path) -> Path:
    """Make the run directory where it is missing. Raises: StateError, also where others may write to it."""
    try:
        private_folder(run_dir)
    except OSError as error:
        raise StateError(
            f"the run directory {run_dir} cannot be made: {error.strerror}", hint="name another with --run-dir"
        ) from error
    see_trusted(run_dir)
    return run_dir


def private_folder(path: Path) -> None:
    """Make a folder where it is missing, and what is missing above it, for its owner alone. Raises: OSError."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)


def run_folder(run_dir: Path, named: str) -> Path:
    """
    Return the folder of the run that a person named.

    Raises: SettingsError for what is no run's name, or a link to somewhere else; StateError where others may write to it.
    """
    folder = run_dir / named if RUN_NAME.fullmatch(named) else None
    if folder is None or (folder.is_symlink() and not RUN_NAME.fullmatch(str(folder.readlink()))):
        raise SettingsError(f"{named} is not the id of a run", hint="reconcile runs lists what there is")
    see_state(run_dir / "state.sqlite", acts=False)
    see_trusted(folder, acts=False)
    return folder


class RunFolder:
    """The folder of one run."""

    def __init__(self, run_dir: Path, run_id: str) -> None:
        self.path = run_dir / run_id
        self._run_dir = run_dir
        self._run_id = run_id
        self._reserve = self.path / ".reserve"
        self.partitions = self.path / _PARTITIONS

    def make(self) -> None:
        """Make the folder, and point `latest` to it. Raises: StateError."""
        try:
            if self.path.is_symlink():
                raise StateError(
                    f"{self.path} is a link, and output is not written through links",
                    hint="remove the link, and run it again",
                )
            self.path.mkdir(mode=0o700, exist_ok=True)
            see_trusted(self.path)
            for aside in self.path.glob(".*"):
                aside.unlink()  # what a start of this run that was killed was writing
            link = self._run_dir / f".latest.{secrets.token_hex(4)}"
            link.symlink_to(self._run_id)
            link.replace(self._run_dir / "latest")
        except OSError as error:
            raise StateError(
                f"the run's folder {self.path} cannot be made: {error.strerror}",
                hint="see that the disk has room and that this user may write there, and run it again",
            ) from error

    def reserve(self, size: int) -> None:
        """Keep so many bytes of the disk for the report. Raises: StateError where there are none."""
        try:
            descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.release()
            raise StateError(
                f"there are no {size >> 10:,} KiB for the report in {self.path}: {error.strerror}",
                hint="make room there, and run it again",
            ) from error

    def release(self) -> None:
        """Give back what was kept."""
        with suppress(OSError):
            self._reserve.unlink()

    @property
    def plan(self) -> Path:
        """The plan file."""
        return self.path / "plan.jsonl.gz"

    def file(self, name: str) -> Path:
        """Any other file of the run."""
        return self.path / name


def drop_partitions(run_dir: Path) -> None:
    """Remove what runs, and commands that only look, left of their partitions when they were killed."""
    # Only what bears a name that we give, and nothing behind a link: the folder may hold other things.
    folders = [folder for folder in run_dir.glob("*") if RUN_ID.fullmatch(folder.name) and not folder.is_symlink()]
    for left in (*(folder / _PARTITIONS for folder in folders), *run_dir.glob(f"{_PARTITIONS}-{'[0-9a-f]' * 8}")):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def partitions_aside(run_dir: Path) -> Iterator[Path]:
    """Give a command that only looks a place for partitions: it is gone at the end, and so is what was made for it."""
    was_there = run_dir.is_dir()
    place = run_dir / f"{_PARTITIONS}-{secrets.token_hex(4)}"
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if not was_there:
            with suppress(OSError):
                run_dir.rmdir()


def prune(run_dir: Path, run_ids: list[str]) -> None:
    """Remove the folders of these runs. A name that no run is given is left alone: the folder may be of something else."""
    for run_id in filter(RUN_ID.fullmatch, run_ids):
        shutil.rmtree(run_dir / run_id, ignore_errors=True)

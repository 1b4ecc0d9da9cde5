"""
Where partitions are kept while a run compares them: Parquet files under a folder, or at a URL that fsspec knows.

What is written is whole or not there, so a task that is run again finds what it found the first time.
"""

import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.errors import ReconcileError, SettingsError, StateError
from reconcile.store.artifacts import private_folder

__all__ = ["Folder", "Shared", "Shelf", "shelf_at"]

_ROWS = 65_536  # to a piece
_AHEAD = 1 << 20  # bytes that a store reads ahead; one of objects would read 50 MiB of each file that is open


class Shelf(ABC):
    """
    Tables by name, at one place. It can be sent to another process, or machine.

    Everything raises StateError where the place does not allow it: that is what `troubles` are.
    """

    troubles: ClassVar[tuple[type[Exception], ...]] = (OSError, pa.ArrowException, ValueError)

    def write(self, name: str, table: pa.Table, rows: int = _ROWS) -> None:
        """Write a table whole, in the place of one of that name; so many rows to a piece."""
        with _usable(self), self._created(name) as file:
            # Few uids, names or links are there twice: a dictionary of them would be made in vain.
            pq.write_table(table, file, row_group_size=rows, compression="zstd", use_dictionary=False)

    def pieces(self, *names: str) -> Iterator[pa.Table]:
        """Give tables one after the other, piece by piece."""
        with _usable(self):
            for name in names:
                with self._opened(name) as file:
                    read = pq.ParquetFile(file)
                    for number in range(read.num_row_groups):
                        yield read.read_row_group(number, use_threads=False)

    def table(self, *names: str) -> pa.Table:
        """Give one or more tables in one piece."""
        with _usable(self):
            parts = []
            for name in names:
                with self._opened(name) as file:
                    parts.append(pq.ParquetFile(file).read(use_threads=False))
            return pa.concat_tables(parts).combine_chunks()

    @abstractmethod
    def remove(self, name: str = "") -> None:
        """Remove everything below a name; all of it without one."""

    @abstractmethod
    def _created(self, name: str) -> Any:
        """Give a file to write to, in a context: of that name once it is whole."""

    @abstractmethod
    def _opened(self, name: str) -> Any:
        """Give a file to read from, in a context."""


@dataclass(frozen=True)
class Folder(Shelf):
    """A folder of this machine, for its owner alone."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def remove(self, name: str = "") -> None:
        """Remove everything below a name; all of it without one."""
        shutil.rmtree(self.path / name, ignore_errors=True)

    @contextmanager
    def _created(self, name: str) -> Iterator[BinaryIO]:
        path = self._at(name)
        private_folder(path.parent)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                yield file
            aside.replace(path)
        finally:
            with suppress(OSError):
                aside.unlink()

    def _opened(self, name: str) -> BinaryIO:
        return self._at(name).open("rb")

    def _at(self, name: str) -> Path:
        return self.path / f"{name}.parquet"


@dataclass(frozen=True)
class Shared(Shelf):
    """A place that several machines see, by its URL."""

    url: str

    # Each kind of store has a library with errors of its own, and they share no other class.
    troubles = (Exception,)

    def __str__(self) -> str:
        return self.url

    def check(self) -> None:
        """See that what it takes to get there is installed. Raises: SettingsError where it is not; StateError."""
        try:
            with _usable(self):
                _ = self._place
        except StateError as error:
            if not isinstance(error.__cause__, ImportError | ValueError):
                raise
            raise SettingsError(
                f"run.store cannot be used: {error.__cause__}",
                hint="install the package that it needs, here and where the workers are; or name another kind of place",
            ) from None

    def remove(self, name: str = "") -> None:
        """Remove everything below a name; all of it without one."""
        with _usable(self), suppress(FileNotFoundError):
            self._files.rm(f"{self._root}/{name}".rstrip("/"), recursive=True)

    @contextmanager
    def _created(self, name: str) -> Iterator[BinaryIO]:
        path = f"{self._root}/{name}.parquet"
        # A store of objects shows one when it is whole; a file system needs a name of its own for what is not.
        aside = f"{path}.{secrets.token_hex(4)}"
        with self._begun(aside) as file:
            yield file
        self._files.mv(aside, path)

    def _begun(self, path: str) -> Any:
        try:
            return self._files.open(path, "wb")
        except FileNotFoundError:
            # Only where a file needs a folder: a store of objects has none, and would make a bucket that nobody has.
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            return self._files.open(path, "wb")

    def _opened(self, name: str) -> Any:
        return self._files.open(f"{self._root}/{name}.parquet", "rb", block_size=_AHEAD)

    @property
    def _files(self) -> Any:
        return self._place[0]

    @property
    def _root(self) -> str:
        return str(self._place[1]).rstrip("/")

    @cached_property
    def _place(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - only for who asks for it

        found: tuple[Any, str] = url_to_fs(self.url, use_listings_cache=False)
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Whoever gets it connects by itself."""
        return {"url": self.url}


def shelf_at(url: str, folder: Path, run_id: str) -> Shelf:
    """Give the place of a run: below the URL, or this folder where there is none. Raises: SettingsError, StateError."""
    if not url:
        return Folder(folder.absolute())
    if find_spec("fsspec") is None:
        raise SettingsError(
            "run.store needs the package fsspec, which is not installed",
            hint="install reconcile with its extra: dask",
        )
    shelf = Shared(f"{url.rstrip('/')}/reconcile-{run_id}")
    shelf.check()
    return shelf


@contextmanager
def _usable(shelf: Shelf) -> Iterator[None]:
    try:
        yield
    except ReconcileError:
        raise  # a signal may come while a store is asked
    except shelf.troubles as error:
        words = getattr(error, "strerror", None) or str(error)
        raise StateError(
            f"the partitions at {shelf} cannot be written or read: {words}",
            hint="see that there is room, and that this user may write there: a store takes its keys from the environment; "
            "or name another place with run.store",
        ) from error

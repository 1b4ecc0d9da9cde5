"""
The plan as a file: gzipped lines, a header, one change each, and a trailer that proves the rest.

The trailer holds the count and the sha256 of every byte before it, so a cut or edited plan is refused.
"""

import gzip
import io
import os
import weakref
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from reconcile.core.heading import header_flaw
from reconcile.core.metadata import METADATA_PREFIX
from reconcile.core.outcome import LOST, Known, Outcome, Settled
from reconcile.core.plan import (
    PLAN_FORMAT,
    Action,
    Change,
    Head,
    PlanHeader,
    decode_change,
    encode_change,
    head_of,
)
from reconcile.errors import PlanError, StateError
from reconcile.store.artifacts import replacing
from reconcile.store.reader import StateReader

__all__ = ["PlanFile", "settled_changes", "write_plan"]


class _Trailer(msgspec.Struct, forbid_unknown_fields=True):
    changes: int
    sha256: str


class _Writing(msgspec.Struct):
    """The part of a line that says whose fields it writes."""

    uid: str
    action: Action
    fields: tuple[str, ...] = ()


_WRITING = msgspec.json.Decoder(_Writing)
_HEADER = msgspec.json.Decoder(PlanHeader)
_TRAILER = msgspec.json.Decoder(_Trailer)


def write_plan(path: Path, header: PlanHeader, changes: Iterable[Change]) -> Counter[str]:
    """
    Write a plan and count its changes by guard class as they go by.

    The same header and changes give the same bytes. Raises: StateError.
    """
    counts: Counter[str] = Counter()
    digest = sha256()
    with replacing(path) as file, _packed(file) as plan:

        def put(line: bytes) -> None:
            digest.update(line + b"\n")
            plan.write(line + b"\n")

        put(msgspec.json.encode(header))
        for change in changes:
            counts[change.guard_class] += 1
            put(encode_change(change))
        trailer = _Trailer(counts.total(), digest.hexdigest())
        plan.write(msgspec.json.encode(trailer) + b"\n")
    return counts


@contextmanager
def _packed(file: BinaryIO) -> Iterator[BinaryIO]:
    # No name and no time in the gzip header: the same plan is the same file.
    packed = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=4, mtime=0, filename="")
    with packed, io.BufferedWriter(packed, 1 << 20) as plan:
        yield cast(BinaryIO, plan)


class _Bytes(io.RawIOBase):
    """The bytes of an open file from its beginning on, whoever else reads from the same descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        number = os.preadv(self._descriptor, [buffer], self._at)
        self._at += number
        return number


class PlanFile:
    """
    A plan that was read through once and found whole.

    It stays open: what is carried out and reported is what was proven, whatever happens to the path meanwhile.
    """

    def __init__(self, path: Path) -> None:
        """Raises: PlanError when the file is not there, not whole, or of another format."""
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise PlanError(f"there is no plan {path}", hint="make one: reconcile plan") from None
        except OSError as error:
            raise PlanError(
                f"the plan {path} cannot be read: {error.strerror}", hint="make one: reconcile plan"
            ) from error
        weakref.finalize(self, os.close, self._descriptor)
        self.header, self.count = self._prove()

    def changes(self) -> Iterator[Change]:
        """Give the changes in plan order. Raises: PlanError for one that this version does not know."""
        for number, line in enumerate(self._body(), start=2):
            try:
                change = decode_change(line)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raise PlanError(
                    f"line {number} of {self.path} is no change: {error}", hint="make a new one: reconcile plan"
                ) from None
            yield change

    def heads(self) -> Iterator[Head]:
        """Give, in plan order, whose change each is and what class it is of, and no more."""
        return (head_of(line) for line in self._body())

    def by_uid(self, action: Action) -> Iterator[tuple[Change, ...]]:
        """Give the changes of each user whose first change is of this action, in plan order."""
        # Of the other users only the head of a line is read: several passes go over a plan.
        heads = ((head_of(line), line) for line in self._body())
        # The way back ends with deactivations, which may begin with the user whose updates came last.
        for _, same in groupby(heads, key=lambda pair: (pair[0].uid, pair[0].action is Action.DEACTIVATE)):
            pairs = list(same)
            if pairs[0][0].action is action:
                yield tuple(decode_change(line) for _, line in pairs)

    def metadata_updates(self) -> int:
        """Count the users that are there already and whose metadata the plan writes."""
        found = (_WRITING.decode(line) for line in self._body())
        uids = (
            head.uid
            for head in found
            if head.action is Action.UPDATE and any(name.startswith(METADATA_PREFIX) for name in head.fields)
        )
        # The changes of a user stand together.
        return sum(1 for _ in groupby(uids))

    def _prove(self) -> tuple[PlanHeader, int]:
        digest = sha256()
        count = -1
        last = b""
        try:
            with self._lines() as plan:
                for line in plan:
                    if last:
                        digest.update(last)
                        count += 1
                    last = line
            trailer = _TRAILER.decode(last)
            header = self._header()
        except (OSError, EOFError, zlib.error, msgspec.DecodeError) as error:
            raise PlanError(
                f"{self.path} is not a whole plan: {error}", hint="make a new one: reconcile plan"
            ) from None
        if trailer.sha256 != digest.hexdigest() or trailer.changes != count:
            raise PlanError(
                f"{self.path} was changed or cut since it was made", hint="make a new one: reconcile plan"
            )
        if header.format != PLAN_FORMAT:
            raise PlanError(
                f"{self.path} has plan format {header.format}, not {PLAN_FORMAT}",
                hint="make a new one: reconcile plan",
            )
        if flaw := header_flaw(header):
            raise PlanError(f"line 1 of {self.path} is no header: {flaw}", hint="make a new one: reconcile plan")
        return header, count

    def _header(self) -> PlanHeader:
        with self._lines() as plan:
            return _HEADER.decode(plan.readline())

    def _body(self) -> Iterator[bytes]:
        try:
            with self._lines() as plan:
                left = self.count
                for line in islice(plan, 1, 1 + left):
                    left -= 1
                    yield line
            if left:
                raise EOFError(f"{left} changes are missing")
        except (OSError, EOFError, zlib.error) as error:
            raise StateError(
                f"the plan {self.path} was cut or overwritten during the run: {error}",
                hint="put the run directory back as it was, then: reconcile resume",
            ) from error

    @contextmanager
    def _lines(self) -> Iterator[gzip.GzipFile]:
        with io.BufferedReader(_Bytes(self._descriptor), 1 << 17) as file, gzip.GzipFile(fileobj=file) as plan:
            yield plan


def settled_changes(
    plan: PlanFile, state: StateReader, run_id: str, known: Known | None = None
) -> Iterator[tuple[Change, Settled]]:
    """
    Give every change of a run's plan with its outcome, in plan order.

    With what the run itself knows, an outcome that the state file does not have, or cannot give, is given with the
    detail `LOST`. Raises: StateError where the file cannot be read and nothing else is known.
    """
    outcomes = state.outcomes(run_id) if known is None else _while_readable(state.outcomes(run_id))
    seq, found = next(outcomes, (0, None))
    for change in plan.changes():
        while seq and seq < change.seq:
            seq, found = next(outcomes, (0, None))
        lost = known.of(change.seq) if known is not None else None
        if found is not None and seq == change.seq:
            yield change, found
        elif lost is not None:
            yield change, Settled(lost, LOST)
        elif change.guard_class in plan.header.held:
            yield change, Settled(Outcome.HELD, f"guard {change.guard_class}")
        else:
            yield change, Settled(Outcome.NOT_ATTEMPTED)


def _while_readable(outcomes: Iterator[tuple[int, Settled]]) -> Iterator[tuple[int, Settled]]:
    with suppress(StateError):
        yield from outcomes

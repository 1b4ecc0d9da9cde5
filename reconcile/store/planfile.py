"""
The plan as a file: gzipped lines, a header, one change each, and a trailer that proves the rest.

The trailer holds the count and the sha256 of every byte before it, so a cut or edited plan is refused.
"""

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import groupby, islice
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from reconcile.core.heading import header_flaw
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import PLAN_FORMAT, Action, Change, PlanHeader, decode_change, encode_change, head_of
from reconcile.errors import PlanError
from reconcile.store.artifacts import replacing
from reconcile.store.reader import StateReader

__all__ = ["PlanFile", "settled_changes", "write_plan"]


class _Trailer(msgspec.Struct, forbid_unknown_fields=True):
    changes: int
    sha256: str


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


class PlanFile:
    """A plan that was read through once and found whole."""

    def __init__(self, path: Path) -> None:
        """Raises: PlanError when the file is not there, not whole, or of another format."""
        self.path = path
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

    def by_uid(self, action: Action) -> Iterator[tuple[Change, ...]]:
        """Give the changes of each user whose first change is of this action, in plan order."""
        # Of the other users only the head of a line is read: several passes go over a plan.
        heads = ((head_of(line), line) for line in self._body())
        # The way back ends with deactivations, which may begin with the user whose updates came last.
        for _, same in groupby(heads, key=lambda pair: (pair[0].uid, pair[0].action is Action.DEACTIVATE)):
            pairs = list(same)
            if pairs[0][0].action is action:
                yield tuple(decode_change(line) for _, line in pairs)

    def _prove(self) -> tuple[PlanHeader, int]:
        digest = sha256()
        count = -1
        last = b""
        try:
            with gzip.open(self.path, "rb") as plan:
                for line in plan:
                    if last:
                        digest.update(last)
                        count += 1
                    last = line
            trailer = _TRAILER.decode(last)
            header = self._header()
        except FileNotFoundError:
            raise PlanError(f"there is no plan {self.path}", hint="make one: reconcile plan") from None
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
        with gzip.open(self.path, "rb") as plan:
            return _HEADER.decode(plan.readline())

    def _body(self) -> Iterator[bytes]:
        with gzip.open(self.path, "rb") as plan:
            yield from islice(plan, 1, 1 + self.count)


def settled_changes(plan: PlanFile, state: StateReader, run_id: str) -> Iterator[tuple[Change, Settled]]:
    """Give every change of a run's plan with its outcome, in plan order."""
    known = state.outcomes(run_id)
    seq, found = next(known, (0, None))
    for change in plan.changes():
        while seq and seq < change.seq:
            seq, found = next(known, (0, None))
        if found is not None and seq == change.seq:
            yield change, found
        elif change.guard_class in plan.header.held:
            yield change, Settled(Outcome.HELD, f"guard {change.guard_class}")
        else:
            yield change, Settled(Outcome.NOT_ATTEMPTED)

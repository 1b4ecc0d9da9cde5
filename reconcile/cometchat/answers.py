"""What a request met, judged by the error table, and how it leaves the client: as a value or as an error."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from reconcile.cometchat.verdicts import UNREADABLE, Answer, Failure, Row, Verdict, judge
from reconcile.cometchat.wire import BadAnswer, ErrorBody, Request, read_error
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryError, DirectoryStopped, Unclear

__all__ = ["Again", "Conflict", "Met", "conclude", "judge_answer", "judge_failure"]

T = TypeVar("T")
_NOTHING = ErrorBody()


class Conflict(DirectoryError):
    """The uid of a create is taken."""


class Again(Exception):
    """This attempt came to nothing; another may not, but with `once` there is only one other."""

    def __init__(self, error: DirectoryError, *, once: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.once = once


@dataclass(frozen=True, slots=True)
class Met(Generic[T]):
    """What a request met: its row of the error table, what to do, and what of it can be told or used."""

    row: Row
    verdict: Verdict
    words: str
    status: int | None = None
    error: ErrorBody = _NOTHING
    found: T | None = None


def judge_failure(request: Request[T], failure: Failure) -> Met[T]:
    """Judge that no answer came."""
    row = judge(failure)
    what = ": ".join(filter(None, (failure.names[0], failure.detail)))
    return Met(row, _verdict(row, request), f"{request.method} {request.path}: {what}")


def judge_answer(request: Request[T], status: int, body: bytes) -> Met[T]:
    """Judge an answer, and read it where it is a success: one that cannot be read counts as none."""
    told = read_error(body)
    error = told or _NOTHING
    row = judge(Answer(status, None if told is None else told.code))
    words = f"{request.method} {request.path}: {status} {error.code}".rstrip()
    if _verdict(row, request) is Verdict.DONE:
        try:
            return Met(row, Verdict.DONE, words, status, error, request.read(body))
        except BadAnswer as bad:
            row, words = judge(UNREADABLE), f"{words} {bad}"
    return Met(row, _verdict(row, request), words, status, error)


def _verdict(row: Row, request: Request[T]) -> Verdict:
    return row.verdict(is_write=request.is_write)


def conclude(met: Met[T]) -> T | None:
    """
    Give what was found; None where the user is not there.

    Raises: Again, ChangeRejected, Conflict, DirectoryStopped, Unclear.
    """
    words, status, code, hint = met.words, met.status, met.error.code, met.row.remedy
    match met.verdict:
        case Verdict.DONE | Verdict.ABSENT:
            return met.found
        case Verdict.CONFLICT:
            raise Conflict(words, status=status, code=code)
        case Verdict.REJECT:
            raise ChangeRejected(words, hint=hint, status=status, code=code, fields=met.error.fields)
        case Verdict.UNCLEAR:
            raise Unclear(words, status=status, code=code)
        case Verdict.AGAIN | Verdict.ONCE:
            busy = DirectoryBusy(words, hint=hint, status=status, code=code)
            raise Again(busy, once=met.verdict is Verdict.ONCE)
        case _:
            raise DirectoryStopped(words, hint=hint, status=status, code=code)

"""What goes over the wire: requests, and what is read of an answer's body and headers. No input or output in here."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec
import pyarrow as pa

from reconcile.core.actual import folded, no_rows, read_rows
from reconcile.core.metadata import PRIVATE_KEY, holds_private
from reconcile.core.normal import mended
from reconcile.core.pacing import RateGroup
from reconcile.core.users import DirectoryUser

__all__ = [
    "PROBE",
    "BadAnswer",
    "ErrorBody",
    "IsNews",
    "Page",
    "RateHeaders",
    "Request",
    "read_date",
    "read_error",
    "read_news",
    "read_page",
    "read_rate_headers",
    "read_roles",
    "read_uid_lists",
    "read_user",
    "read_users",
    "shows_private",
]

PAGE_SIZE = 1000  # the documented maximum
_FARTHEST_RESET_S = 86_400.0
BULK_LIMIT = 25  # uids in one activation or deactivation, as the vendor's older reference states


class BadAnswer(ValueError):
    """A success that is not what was asked for: not JSON, cut short, or about somebody else."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """
    One call. `path` starts with a slash and holds only checked uids.

    `read` makes a value of the body of a success, or raises BadAnswer.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    params: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    group: RateGroup = RateGroup.STANDARD

    @property
    def is_write(self) -> bool:
        """Whether the answer's loss leaves open what happened."""
        return self.method != "GET"


PROBE: Request[bytes] = Request("GET", "/roles", bytes)  # asks nothing but whether somebody answers


class ErrorBody(msgspec.Struct, frozen=True):
    """The part of an error that may be shown: its code and the fields that it names, never its texts."""

    code: str = ""
    fields: tuple[str, ...] = ()


class _Error(msgspec.Struct):
    code: str | int | None = None
    details: Any = None


class _Envelope(msgspec.Struct):
    error: _Error | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # whether it is there, not what it holds


_ENVELOPE = msgspec.json.Decoder(_Envelope)
# A code travels into messages and reports, so it has to look like one: an answer may repeat the key anywhere.
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,79}")
_FIELD = re.compile(r"[A-Za-z0-9_.@\[\]-]{1,80}")


def read_error(body: bytes) -> ErrorBody | None:
    """Read an error envelope; None where the body is not one of CometChat's."""
    try:
        found = _decoded(_ENVELOPE.decode, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if found.error is None:
        return ErrorBody() if found.data is not msgspec.UNSET else None
    details = found.error.details
    fields = tuple(filter(_FIELD.fullmatch, map(str, details))) if isinstance(details, dict) else ()
    code = str(found.error.code or "")
    return ErrorBody(code if _CODE.fullmatch(code) else "", fields)


class _Users(msgspec.Struct, frozen=True):
    data: list[DirectoryUser]


class _Head(msgspec.Struct, rename="camel", gc=False):
    uid: str
    deactivated_at: int | None = None


class _Heads(msgspec.Struct):
    data: list[_Head]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the user list: the uids on it, and its rows in normal form, where they are wanted."""

    uids: pa.Array
    rows: pa.Table


IsNews = Callable[[pa.Array], bool]


class _One(msgspec.Struct):
    data: DirectoryUser


class _Role(msgspec.Struct):
    role: str


class _Roles(msgspec.Struct):
    data: list[_Role]


class _Lists(msgspec.Struct):
    data: dict[str, Any]


_USERS = msgspec.json.Decoder(_Users, strict=False)
_HEADS = msgspec.json.Decoder(_Heads, strict=False)
_ONE = msgspec.json.Decoder(_One, strict=False)
_ROLES = msgspec.json.Decoder(_Roles)
_LISTS = msgspec.json.Decoder(_Lists)


def _read(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        body.decode()  # also what stays undecoded is to be text
        return _decoded(decode, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadAnswer(type(error).__name__) from None


def _decoded(decode: Callable[[bytes], T], body: bytes) -> T:
    try:
        return decode(body)
    except msgspec.DecodeError:
        # Half a character in one user is no reason to know nothing of the others.
        whole = mended(body)
        if whole == body:
            raise
        return decode(whole)


def shows_private(body: bytes) -> bool:
    """Whether an answer about one user or many holds the key `@private` in the metadata of one. Cheap where it does not."""
    if PRIVATE_KEY.encode() not in body:
        return False
    for read in (read_users, lambda data: [_read(_ONE.decode, data).data]):
        try:
            return any(holds_private(user.metadata) for user in read(body))
        except BadAnswer:
            continue
    return False


def read_users(body: bytes) -> list[DirectoryUser]:
    """Read a page of users, each whole. Raises: BadAnswer."""
    return _read(_USERS.decode, body).data


def read_page(body: bytes, fields: tuple[str, ...]) -> Page:
    """Read a page as the columns of the managed fields (see `read_rows`). Raises: BadAnswer."""
    rows = _read(partial(read_rows, fields=fields), body)
    return Page(rows["uid"].combine_chunks(), rows)


def read_news(body: bytes, fields: tuple[str, ...], is_news: IsNews) -> Page:
    """Read a page; without its rows where none of them is news, nor deactivated. Raises: BadAnswer."""
    heads = _read(_HEADS.decode, body).data
    uids = folded(head.uid for head in heads)
    if is_news(uids) or any(head.deactivated_at for head in heads):
        return read_page(body, fields)
    return Page(uids, no_rows(fields))


def read_user(body: bytes, uid: str) -> DirectoryUser:
    """Read one user. Raises: BadAnswer, also when the answer is about somebody else."""
    user: DirectoryUser = _read(_ONE.decode, body).data
    if user.uid.lower() != uid:
        raise BadAnswer("the answer is about another user")
    return user


def read_roles(body: bytes) -> frozenset[str]:
    """Read the ids of the app's roles, in lower case. Raises: BadAnswer."""
    return frozenset(role.role.lower() for role in _read(_ROLES.decode, body).data)


def read_uid_lists(body: bytes) -> dict[str, frozenset[str]]:
    """
    Read the answer of a bulk call: uids in lower case by what became of them. Raises: BadAnswer.

    A list without an entry is left out by the service, and its status is always 200.
    """
    lists = _read(_LISTS.decode, body).data
    return {
        name: frozenset(str(uid).lower() for uid in uids) for name, uids in lists.items() if isinstance(uids, list)
    }


class RateHeaders(msgspec.Struct, frozen=True):
    """What an answer says about the rate: `limit` and `remaining` in requests, `wait_s` in seconds."""

    limit: float | None = None
    remaining: float | None = None
    wait_s: float | None = None


def read_rate_headers(headers: Mapping[str, str]) -> RateHeaders:
    """
    Read the rate headers in either spelling; nonsense counts as absent. Keys of `headers` are lower case.

    A date is measured against the answer's own `Date`, so that a wrong clock here does not matter.
    """
    return RateHeaders(
        limit=_either(headers, "limit") or None,
        remaining=_either(headers, "remaining"),
        wait_s=_wait(headers),
    )


def _either(headers: Mapping[str, str], name: str) -> float | None:
    first = "x-rate-limit" if name == "limit" else f"x-rate-limit-{name}"
    number = _number(headers.get(first, ""))
    return number if number is not None else _number(headers.get(f"x-ratelimit-{name}", ""))


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _wait(headers: Mapping[str, str]) -> float | None:
    asked = headers.get("retry-after", "")
    seconds = _number(asked)
    if seconds is not None:
        return seconds
    then, now = _unix(asked), _unix(headers.get("date", ""))
    if then is not None and now is not None:
        return max(0.0, then - now)
    reset = _either(headers, "reset")
    # A reset in milliseconds would be ages away, and nobody asks for a wait of days.
    if reset is None or now is None or reset - now > _FARTHEST_RESET_S:
        return None
    return max(0.0, reset - now)


def read_date(headers: Mapping[str, str]) -> float | None:
    """
    Read when an answer was made, unix seconds by its own clock; None where it does not say. Keys are lower case.

    An answer that a cache kept bears the time of its making, not of its sending.
    """
    return None if _number(headers.get("age", "")) else _unix(headers.get("date", ""))


def _unix(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    # The forms without a zone mean UTC, not the zone of this machine.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

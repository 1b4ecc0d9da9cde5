"""
The bad weather that a test can order: what can go wrong, and the rule that says when.

Owns the kinds of faults and their parameters. When one is due stands in `schedule`, what it does in
`effects`. A rule matches by method, path and query; it fires on every match, or on the `nth` and those after
it, on each one in `every`, or by chance; and at most `times` times.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from reconcile.sandbox.limiter import Group

__all__ = [
    "CutGzip",
    "DeleteRole",
    "EatBudget",
    "Fault",
    "HugeBody",
    "Latency",
    "LoseFields",
    "MutateDirectory",
    "RepeatPage",
    "Reset",
    "RevokeKey",
    "ShortPage",
    "Silence",
    "SlowBytes",
    "StaleRead",
    "Status",
    "TruncatedJson",
    "WrongContentType",
    "WrongDate",
    "read_faults",
]

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
HeaderText = Annotated[str, Meta(pattern=r"\A([!-~]([ -~]*[!-~])?)?\Z")]  # what HTTP can carry


class _Rule(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    method: str = "*"  # several stand between commas
    path: str = "*"  # without the version, as a pattern: /users/*
    query: str = ""  # a part of the query string
    nth: Positive | None = None
    every: Positive | None = None
    probability: Share | None = None
    seed: int = 0
    times: Positive | None = None  # 1 where `nth` is given, else without end


class _Timed(_Rule, frozen=True, kw_only=True):
    # After the commit, the request has been carried out and only its answer suffers.
    when: Literal["before", "after"] = "before"


class Status(_Timed, frozen=True, tag="status"):
    """
    Another answer: any status, with an error envelope, or with an HTML page as the edge sends it.
    """

    code: Annotated[int, Meta(ge=200, le=599)] = 500
    body: Literal["json", "html", "empty"] = "json"
    error: str = "ERR_EXCEPTION"
    retry_after: HeaderText | None = None  # sent as it stands, sense or nonsense


class Reset(_Timed, frozen=True, tag="reset"):
    """
    The connection is reset without an answer.
    """


class Silence(_Timed, frozen=True, tag="silence"):
    """
    No byte for a while, then the connection closes.
    """

    seconds: float = 60.0


class Latency(_Rule, frozen=True, tag="latency"):
    """
    The request waits first, for a time drawn evenly from a range.
    """

    low_ms: float = 0.0
    high_ms: float = 0.0


class TruncatedJson(_Rule, frozen=True, tag="truncated_json"):
    """
    Only a part of the body arrives; the length that was declared is that of the part, or of the whole.
    """

    keep: Share = 0.5
    declared: Literal["part", "whole"] = "part"


class CutGzip(_Rule, frozen=True, tag="cut_gzip"):
    """
    The body is compressed, and its end is missing.
    """

    keep: Share = 0.5


class WrongContentType(_Rule, frozen=True, tag="wrong_content_type"):
    """
    The answer says that it is something else than JSON.
    """

    content_type: HeaderText = "text/html; charset=UTF-8"


class WrongDate(_Rule, frozen=True, tag="wrong_date"):
    """
    The `Date` header is another one, as far from the clock as is said or as it is written; or there is none.
    """

    off_s: float | None = None  # below 0: from the past, as an answer of a cache is
    date: HeaderText | None = None


class HugeBody(_Rule, frozen=True, tag="huge_body"):
    """
    The answer is padded to a great size, and stays valid.
    """

    mebibytes: Positive = 64


class SlowBytes(_Rule, frozen=True, tag="slow_bytes"):
    """
    The answer comes in small pieces with pauses.
    """

    size: Positive = 1
    pause_ms: float = 50.0


class RepeatPage(_Rule, frozen=True, tag="repeat_page"):
    """
    A list shows the rows of the page before, and says that they are those that were asked for.
    """


class ShortPage(_Rule, frozen=True, tag="short_page"):
    """
    A list leaves out the last rows of a page; no other page has them.
    """

    rows: Positive = 1


class StaleRead(_Rule, frozen=True, tag="stale_read"):
    """
    A GET of users shows them as they were so long ago; only writes that came after this order are hidden.
    """

    ms: Positive = 500


class LoseFields(_Rule, frozen=True, tag="lose_fields"):
    """
    The request is answered as ever, but these fields of its body are not kept.
    """

    fields: tuple[str, ...]


class RevokeKey(_Rule, frozen=True, tag="revoke_key"):
    """
    From this request on no key is known.
    """


class DeleteRole(_Rule, frozen=True, tag="delete_role"):
    """
    Somebody deletes a role, just before this request.
    """

    role: str


class EatBudget(_Rule, frozen=True, tag="eat_budget"):
    """
    Somebody else spends requests of a group, just before this one.
    """

    group: Group = Group.STANDARD
    requests: Positive = 100


class MutateDirectory(_Rule, frozen=True, tag="mutate_directory"):
    """
    Somebody else changes users, just before this request: as many of each as is said, chosen by the seed.
    """

    create: Count = 0
    deactivate: Count = 0
    rename: Count = 0
    reorder: bool = False


Fault: TypeAlias = (
    Status
    | Reset
    | Silence
    | Latency
    | TruncatedJson
    | CutGzip
    | WrongContentType
    | WrongDate
    | HugeBody
    | SlowBytes
    | RepeatPage
    | ShortPage
    | StaleRead
    | LoseFields
    | RevokeKey
    | DeleteRole
    | EatBudget
    | MutateDirectory
)


def read_faults(text: bytes) -> list[Fault]:
    """
    Return the faults that stand in a JSON array.

    Raises: msgspec.ValidationError for a kind or a parameter that does not exist.
    """
    return msgspec.json.decode(text, type=list[Fault])

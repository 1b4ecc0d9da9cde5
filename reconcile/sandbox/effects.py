"""
What each fault does to a request: to the world before it, or to the answer after it.

Owns the one `match` over the kinds of faults on either side of the commit. Decides only; holding a connection
or cutting it is done in `wire`.
"""

import gzip
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, assert_never
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec.structs import replace

from reconcile.sandbox import faults
from reconcile.sandbox.answers import Answer, Trickle, refused
from reconcile.sandbox.calls import Call
from reconcile.sandbox.faults import Fault
from reconcile.sandbox.users import User
from reconcile.sandbox.world import World

__all__ = ["Drop", "Outcome", "after", "before", "delay_s", "kind_of"]

_MEBIBYTE = 1024 * 1024
_BODILESS = (204, 304)  # HTTP forbids a body


@dataclass(frozen=True, slots=True)
class Drop:
    """
    No answer at all: the connection is held for a while, then it ends, politely or by a reset.
    """

    hold_s: float
    is_reset: bool


Outcome = Answer | Drop


def kind_of(fault: Fault) -> str:
    """
    Return the name that a fault is ordered by.
    """
    return str(fault.__struct_config__.tag)


def delay_s(due: list[Fault], random: Random) -> float:
    """
    Return how long a request waits before anything is done with it.
    """
    return sum(
        random.uniform(fault.low_ms, fault.high_ms) / 1_000 for fault in due if isinstance(fault, faults.Latency)
    )


def before(fault: Fault, world: World, call: Call) -> Outcome | None:
    """
    Change the world or the request, or end it; None lets it go on.
    """
    match fault:
        case faults.Status() | faults.Reset() | faults.Silence():
            return _ending(fault) if fault.when == "before" else None
        case faults.RepeatPage():
            call.query = _page_before(call.query)
        case faults.LoseFields():
            call.body = _losing(call.body, fault.fields)
        case faults.RevokeKey():
            world.keys.revoked = True
        case faults.DeleteRole():
            world.drop_role(fault.role)
        case faults.EatBudget():
            world.limiter.eat(fault.group, fault.requests, world.clock.now())
        case faults.MutateDirectory():
            _mutate(fault, world)
    return None


def after(fault: Fault, answer: Answer, call: Call) -> Outcome:
    """
    Return what becomes of an answer on its way out.
    """
    match fault:
        case faults.Status() | faults.Reset() | faults.Silence():
            return _ending(fault) if fault.when == "after" else answer
        case faults.TruncatedJson():
            answer = _truncated(fault, answer)
        case faults.CutGzip():
            answer = _half_packed(fault, answer)
        case faults.WrongContentType():
            others = [header for header in answer.headers if header[0] != b"content-type"]
            answer = replace(answer, headers=(*others, (b"content-type", fault.content_type.encode())))
        case faults.WrongDate():
            answer = replace(answer, date=fault.date or "", date_off_s=fault.off_s)
        case faults.HugeBody():
            answer = replace(answer, body=_padded(answer.body, fault.mebibytes * _MEBIBYTE))
        case faults.SlowBytes():
            answer = replace(answer, trickle=Trickle(fault.size, fault.pause_ms / 1_000))
        case faults.RepeatPage():
            answer = replace(answer, body=_claiming_page(answer.body, _page_in(call.sent_query)))
        case faults.ShortPage():
            answer = replace(answer, body=_without_last(answer.body, fault.rows))
    return answer


def _ending(fault: faults.Status | faults.Reset | faults.Silence) -> Outcome:
    match fault:
        case faults.Status():
            return _status(fault)
        case faults.Reset():
            return Drop(0.0, is_reset=True)
        case faults.Silence():
            return Drop(fault.seconds, is_reset=False)
        case _:
            assert_never(fault)


def _status(fault: faults.Status) -> Answer:
    answer = refused(fault.code, fault.error, "Something went wrong.").answer
    if fault.code in _BODILESS:
        answer = Answer(fault.code, b"")
    elif fault.body != "json":
        page = f"<html><head><title>{fault.code}</title></head><body><h1>{fault.code}</h1></body></html>"
        body = page.encode() if fault.body == "html" else b""
        answer = Answer(fault.code, body, ((b"content-type", b"text/html"),))
    if fault.retry_after is not None:
        answer = replace(answer, headers=(*answer.headers, (b"retry-after", fault.retry_after.encode("latin-1"))))
    return answer


def _truncated(fault: faults.TruncatedJson, answer: Answer) -> Answer:
    kept = int(len(answer.body) * fault.keep)
    if fault.declared == "whole":
        return replace(answer, send_only=kept)
    return replace(answer, body=answer.body[:kept])


def _half_packed(fault: faults.CutGzip, answer: Answer) -> Answer:
    packed = gzip.compress(answer.body)
    headers = (*answer.headers, (b"content-encoding", b"gzip"))
    return replace(answer, body=packed[: int(len(packed) * fault.keep)], headers=headers)


def _padded(body: bytes, size: int) -> bytes:
    # White space before the last brace: the JSON stays the same, and a reader must still take it in.
    return body[:-1] + b" " * max(0, size - len(body)) + body[-1:]


def _page_before(query: str) -> str:
    values = dict(parse_qsl(query, keep_blank_values=True))
    return urlencode(values | {"page": max(1, _page_in(query) - 1)})


def _page_in(query: str) -> int:
    page = dict(parse_qsl(query)).get("page", "1")
    return int(page) if page.isdecimal() else 1


def _claiming_page(body: bytes, page: int) -> bytes:
    if (value := _list_in(body)) is None:
        return body
    value["meta"]["pagination"]["current_page"] = page
    return msgspec.json.encode(value)


def _without_last(body: bytes, rows: int) -> bytes:
    if (value := _list_in(body)) is None:
        return body
    value["data"] = value["data"][:-rows]
    value["meta"]["pagination"]["count"] = len(value["data"])
    return msgspec.json.encode(value)


def _list_in(body: bytes) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = msgspec.json.decode(body)
    except ValueError:
        return None  # another fault was there first
    return value if "pagination" in value.get("meta", {}) else None


def _losing(body: bytes, fields: tuple[str, ...]) -> bytes:
    try:
        value: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except ValueError:
        return body  # the request says nothing that could be kept
    kept = {name: part for name, part in value.items() if name not in fields}
    if unset := [name for name in kept.pop("unset", ()) if name not in fields]:
        kept["unset"] = unset
    return msgspec.json.encode(kept)


def _mutate(fault: faults.MutateDirectory, world: World) -> None:
    random = Random(fault.seed)  # noqa: S311 - weather, not a secret
    now_s = world.clock.now_s()
    active = world.users.shelf("active")
    chosen = random.sample(range(len(active)), min(len(active), fault.deactivate + fault.rename))
    for at, user in enumerate([active.page(place, 1)[0] for place in chosen]):
        with world.users.changing(user):
            if at < fault.deactivate:
                user.deactivatedAt = now_s
            else:
                user.name, user.updatedAt = f"{user.name} (renamed)", now_s
    for _ in range(fault.create):
        uid = next(uid for uid in map("stranger-{}".format, count(1)) if uid not in world.users.by_uid)
        world.users.add(User(uid, "A stranger", "default", "offline", now_s))
    if fault.reorder:
        for shelf in (active, world.users.shelf("all")):
            shelf.shuffle(fault.seed)

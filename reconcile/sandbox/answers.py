"""
What the API answers: envelopes, error codes and their texts.

Owns every sentence that an error of the look-alike says. The sentences are our own; codes, statuses and the
shape of the envelope are the vendor's.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["JSON", "Answer", "Refusal", "Trickle", "data", "invalid", "refused", "uid_not_found", "unfit"]

JSON = (b"content-type", b"application/json")

Details = Mapping[str, list[str]]
Fields = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class Trickle(Struct, frozen=True):
    """
    A slow way of sending: pieces of `size` bytes with a pause between them.
    """

    size: int
    pause_s: float


class Answer(Struct, frozen=True):
    """
    One answer before it goes out; `send_only` bytes are sent and the connection is cut, if that is set.

    Its `Date` is that of the clock, or so many seconds off it, or `date`, where "" is none.
    """

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)
    trickle: Trickle | None = None
    send_only: int | None = None
    date: str | None = None
    date_off_s: float | None = None


class Refusal(Exception):
    """
    The request cannot be done; carries the answer that says so.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def data(payload: object, meta: object = None, *, status: int = 200, beside: Fields | None = None) -> Answer:
    """
    Return the envelope of success; `beside` are further keys of it.
    """
    envelope = {"data": payload} if meta is None else {"data": payload, "meta": meta}
    return Answer(status, _encode(envelope if beside is None else envelope | beside))


def refused(status: int, code: str, message: str, details: Details | None = None) -> Refusal:
    """
    Return the envelope of failure; `details` stand only in those of a validation.
    """
    error: dict[str, Any] = {"code": code, "message": message, "devMessage": message, "source": "chat-api"}
    if details is not None:
        error["details"] = details
    return Refusal(Answer(status, _encode({"error": error})))


def invalid(details: Details, *, status: int = 400) -> Refusal:
    """
    Return the refusal of a body or a query that breaks rules; the message is the same for all of them.
    """
    return refused(
        status, "ERR_BAD_REQUEST", "Could not process the request: it breaks validation rules.", details
    )


def unfit(field: str, sentence: str) -> Refusal:
    """
    Return the refusal of one field for one reason.
    """
    return invalid({field: [sentence]})


def uid_not_found(uid: str) -> Refusal:
    """
    Return the refusal of a user that is not there, or not for this call.
    """
    return refused(404, "ERR_UID_NOT_FOUND", f"There is no user with the uid {uid}. Please check the uid.")

"""
Every kind of fault that the service, or the way to it, can have, and the exit codes of a run that meets it.

The rows are those of docs/faults.md; a test holds the two together. Each row has one case or more.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["CASES", "MOVING", "ROWS", "Case"]

WRITES = {"method": "PUT,POST", "path": "/users*"}
LOOKS = {"method": "GET", "path": "/users/*"}
PAGES = {"method": "GET", "path": "/users"}
AFTER = {"when": "after"}
LOSES = 10**6


@dataclass(frozen=True, slots=True)
class Case:
    """The faults that are ordered together, and how an apply may end while they last; 0 is all that can be done."""

    faults: tuple[dict[str, Any], ...]
    codes: frozenset[int]


def _case(*codes: int, **fault: Any) -> Case:
    return Case((fault,), frozenset(codes))


def _throttle(*codes: int, **rule: Any) -> Case:
    return _case(*codes, kind="status", code=429, error="ERR_TOO_MANY_REQUESTS", **rule)


def _status(code: int, **rule: Any) -> Case:
    return _case(0, kind="status", code=code, **rule)


MOVING = "users are created, renamed and re-ordered between pages"
ROWS: dict[str, dict[str, Case]] = {
    "429, with or without `Retry-After`": {
        "429 with Retry-After": _throttle(0, retry_after="1", nth=9),
        "429 without Retry-After": _throttle(0, nth=5, times=3),
        "429 in every other answer to a write": _throttle(0, **WRITES, every=2),
    },
    "429 with nonsense in `Retry-After`": {
        "429 with a negative Retry-After": _throttle(0, retry_after="-30", every=6),
        "429 with text for Retry-After": _throttle(0, retry_after="soon", every=6),
        "429 with a Retry-After in the past": _throttle(0, retry_after="Wed, 21 Oct 2015 07:28:00 GMT", every=6),
        "429 with more digits than a number holds": _throttle(0, retry_after="9" * 400, nth=9),
    },
    "429 that asks for more than five minutes": {
        "429 with a huge Retry-After": _throttle(7, 8, retry_after="999999", nth=9),
        "429 with a Retry-After far in the future": _throttle(
            8, **WRITES, retry_after="Fri, 31 Dec 2100 23:59:59 GMT", nth=4
        ),
        "429 with a huge Retry-After before the first write": _throttle(7, retry_after="301", nth=2),
    },
    "5xx or 417 before the commit": {
        "503 before the commit": _status(503, **WRITES, every=3),
        "417 before the commit": _status(417, error="ERR_BAD_ERROR_RESPONSE", **WRITES, every=3),
        "500 for a read": _status(500, method="GET", every=3),
        "417 for a read": _status(417, error="ERR_BAD_ERROR_RESPONSE", method="GET", every=3),
    },
    "5xx or 417 after the commit": {
        "500 after the commit": _status(500, **WRITES, **AFTER, every=2),
        "417 after the commit": _status(417, error="ERR_BAD_ERROR_RESPONSE", **WRITES, **AFTER, every=3),
    },
    "503 for ever, for all requests or for writes alone": {
        "503 for ever": _case(7, 8, kind="status", code=503, nth=12, times=LOSES),
        "503 for ever for writes": _case(8, kind="status", code=503, **WRITES, nth=4, times=LOSES),
    },
    "connection reset, before or after the commit": {
        "reset before the commit": _case(0, kind="reset", **WRITES, every=3),
        "reset after the commit": _case(0, kind="reset", **WRITES, **AFTER, every=2),
        "reset of a read": _case(0, kind="reset", method="GET", every=3),
    },
    "silence, before or after the commit": {
        "silence before the commit": _case(0, kind="silence", seconds=5, **WRITES, nth=2),
        "silence after the commit": _case(0, kind="silence", seconds=5, **WRITES, **AFTER, nth=2),
        "silence for a read": _case(0, kind="silence", seconds=5, **LOOKS, nth=2),
    },
    "truncated JSON, gzip that ends early": {
        "truncated JSON": _case(0, kind="truncated_json", every=4),
        "truncated JSON with the whole length": _case(0, kind="truncated_json", declared="whole", every=4),
        "truncated JSON after a write": _case(0, kind="truncated_json", **WRITES, every=2),
        "cut gzip": _case(0, kind="cut_gzip", every=4),
        "cut gzip after a write": _case(0, kind="cut_gzip", **WRITES, every=2),
    },
    "a wrong content type": {"a wrong content type": _case(0, kind="wrong_content_type", every=2)},
    "HTML 502": {
        "HTML 502": _status(502, body="html", every=4),
        "HTML 502 after the commit": _status(502, body="html", **WRITES, **AFTER, every=2),
    },
    "HTML 404 for a user": {"an HTML 404 for a user": _status(404, body="html", **LOOKS, every=3)},
    "a huge body": {
        "a huge page": _case(0, kind="huge_body", mebibytes=30, **PAGES, nth=1),
        "a huge answer to a write": _case(0, kind="huge_body", mebibytes=30, **WRITES, nth=3),
    },
    "bytes that drip": {
        "slow bytes of a look": _case(0, kind="slow_bytes", size=200, pause_ms=2, **LOOKS, every=4),
        "slow bytes of a write": _case(0, kind="slow_bytes", size=50, pause_ms=2, **WRITES, every=2),
    },
    "reads lag behind writes": {"reads that lag": _case(0, kind="stale_read", ms=400, method="GET")},
    "the list repeats a page": {"a page that repeats": _case(7, kind="repeat_page", **PAGES, times=LOSES)},
    "a page comes back short": {
        "a page that comes back short": _case(0, kind="short_page", rows=3, **PAGES, times=3),
        "a page that comes back empty": _case(0, kind="short_page", rows=1000, **PAGES, nth=3),
    },
    MOVING: {
        MOVING: _case(0, 4, kind="mutate_directory", create=2, rename=1, reorder=True, **PAGES, every=2, times=3)
    },
    "another client eats the rate budget": {
        "the standard budget is eaten": _case(
            0, kind="eat_budget", group="standard", requests=2000, every=5, times=3
        ),
        "the core budget is eaten": _case(0, kind="eat_budget", group="core", requests=3000, every=9, times=2),
    },
    "the key is revoked": {
        "a key revoked before the first write": _case(7, kind="revoke_key", nth=2),
        "a key revoked half-way": _case(8, kind="revoke_key", **WRITES, nth=4),
    },
    "a role is deleted half-way": {
        "a role deleted half-way": _case(4, kind="delete_role", role="premium", **WRITES, nth=1)
    },
    "the app's plan is exhausted": {
        "the app's plan is exhausted": _case(
            8, kind="status", code=402, error="ERR_PLAN_RESTRICTION", **WRITES, nth=3, times=LOSES
        )
    },
    "a redirect": {
        "a redirect of a look": _case(4, kind="status", code=302, body="html", **LOOKS, nth=4),
        "a redirect of a write": _case(4, kind="status", code=302, body="html", **WRITES, nth=2),
    },
}
CASES: dict[str, Case] = {name: case for cases in ROWS.values() for name, case in cases.items()}

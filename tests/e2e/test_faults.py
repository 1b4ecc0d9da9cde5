"""
Every kind of fault that the service or the way to it can have, and how the job ends.

Each ends converged, or stopped with the right exit code; once the weather is fair, finishing the run leaves
everybody in step, nobody created twice, and nothing foreign touched.
"""

from typing import Any

import httpx
import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.small_world import assert_untouched, creates, flags

WRITES = {"method": "PUT,POST", "path": "/users*"}
LOOKS = {"method": "GET", "path": "/users/*"}
PAGES = {"method": "GET", "path": "/users"}
LOSES = 10**6
RATE = "ERR_TOO_MANY_REQUESTS"

MOVING = "users that come and go between pages"
Faults = list[dict[str, Any]]
# What happens, and the exit codes that the run may end with while it does.
CASES: dict[str, tuple[Faults, set[int]]] = {
    "429 with Retry-After": (
        [{"kind": "status", "code": 429, "error": RATE, "retry_after": "1", "every": 7, "times": 3}],
        {0},
    ),
    "429 without Retry-After": (
        [{"kind": "status", "code": 429, "error": RATE, "nth": 5}],
        {0},
    ),
    "429 with an absurd Retry-After": (
        [{"kind": "status", "code": 429, "error": RATE, "retry_after": "999999", "nth": 9}],
        {7, 8},
    ),
    "429 with nonsense for Retry-After": (
        [{"kind": "status", "code": 429, "error": RATE, "retry_after": "soon", "nth": 9}],
        {0},
    ),
    "503 before the commit": ([{"kind": "status", "code": 503, **WRITES, "every": 3}], {0}),
    "500 after the commit": ([{"kind": "status", "code": 500, **WRITES, "every": 2, "when": "after"}], {0}),
    "417 before the commit": (
        [{"kind": "status", "code": 417, "error": "ERR_BAD_ERROR_RESPONSE", **WRITES, "every": 3}],
        {0},
    ),
    "417 after the commit": (
        [
            {
                "kind": "status",
                "code": 417,
                "error": "ERR_BAD_ERROR_RESPONSE",
                **WRITES,
                "every": 3,
                "when": "after",
            }
        ],
        {0},
    ),
    "503 for ever": ([{"kind": "status", "code": 503, "nth": 12, "times": LOSES}], {7, 8}),
    "reset before the commit": ([{"kind": "reset", **WRITES, "every": 3}], {0}),
    "reset after the commit": ([{"kind": "reset", **WRITES, "every": 2, "when": "after"}], {0}),
    "reset of looks": ([{"kind": "reset", **LOOKS, "every": 3}], {0}),
    "silence before the commit": ([{"kind": "silence", "seconds": 5, **WRITES, "nth": 2}], {0}),
    "silence after the commit": ([{"kind": "silence", "seconds": 5, **WRITES, "nth": 2, "when": "after"}], {0}),
    "truncated JSON": ([{"kind": "truncated_json", "every": 4}], {0}),
    "cut gzip": ([{"kind": "cut_gzip", "every": 4}], {0}),
    "a wrong content type": ([{"kind": "wrong_content_type", "every": 2}], {0}),
    "HTML 502": ([{"kind": "status", "code": 502, "body": "html", "every": 4}], {0}),
    "an HTML 404 for a user": ([{"kind": "status", "code": 404, "body": "html", **LOOKS, "every": 2}], {0}),
    "a huge body": ([{"kind": "huge_body", "mebibytes": 30, **PAGES, "nth": 1}], {0}),
    "slow bytes": ([{"kind": "slow_bytes", "size": 200, "pause_ms": 2, **LOOKS, "every": 4}], {0}),
    "reads that lag behind writes": ([{"kind": "stale_read", "ms": 400, "method": "GET"}], {0}),
    "a page that repeats": ([{"kind": "repeat_page", **PAGES, "times": LOSES}], {7}),
    "a page that comes back short": ([{"kind": "short_page", "rows": 3, **PAGES, "times": 3}], {0}),
    MOVING: (
        [{"kind": "mutate_directory", "create": 2, "rename": 1, "reorder": True, **PAGES, "every": 2, "times": 3}],
        {0, 4},
    ),
    "another client that eats the budget": (
        [{"kind": "eat_budget", "group": "standard", "requests": 2000, "every": 5, "times": 3}],
        {0},
    ),
    "a key revoked before the first write": ([{"kind": "revoke_key", "nth": 2}], {7}),
    "a key revoked half-way": ([{"kind": "revoke_key", **WRITES, "nth": 4}], {8}),
    "a role deleted half-way": ([{"kind": "delete_role", "role": "premium", **WRITES, "nth": 1}], {0, 4}),
    "the app's plan is exhausted": (
        [{"kind": "status", "code": 402, "error": "ERR_PLAN_RESTRICTION", **WRITES, "nth": 3, "times": LOSES}],
        {8},
    ),
    "a redirect": ([{"kind": "status", "code": 302, **LOOKS, "nth": 2}], {0, 4}),
}


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts prove nothing here; silence is told from slowness after a second."""
    monkeypatch.setattr("reconcile.cometchat.client.BACKOFF_S", 0.01)
    monkeypatch.setattr("reconcile.apply.hands.PAUSE_S", 0.01)
    monkeypatch.setattr("reconcile.cometchat.client.TIMEOUT", httpx.Timeout(1.0))


@pytest.mark.parametrize("name", CASES)
def test_a_fault_ends_converged_or_stopped_and_can_be_finished(world: Shell, sandbox: Sandbox, name: str) -> None:
    """The run ends as the table says; afterwards one more command puts everything right."""
    faults, codes = CASES[name]
    before = sandbox.users()
    for fault in faults:
        sandbox.fault(**fault)
    result = world("apply", "--yes", "--json", *flags())
    sandbox.clear_faults()
    sandbox.restore_key()
    sandbox.load_roles(["premium"])
    finished = world("resume", "--json") if result.code == 8 else world("apply", "--yes", "--json", *flags())
    check = world("plan", "--check", "--json", *flags())

    assert result.code in codes, (result.out, result.err[-2000:])
    assert finished.code == 0, (finished.out, finished.err[-2000:])
    assert check.code == 0, check.out
    assert max(creates(sandbox).values()) == 1
    if name != MOVING:
        assert_untouched(sandbox, before)


def test_a_user_that_the_directory_cannot_show_is_unknown(world: Shell, sandbox: Sandbox) -> None:
    """It is neither missing nor in step, nothing is done to it, and a plan says that it is not complete."""
    sandbox.fault("status", method="GET", path="/users/missing-1", code=503)
    result = world("plan", "--json", *flags())

    assert result.code == 4
    assert (result.json["drift"]["unknown"], result.json["drift"]["missing"]) == (1, 1)
    assert result.json["plan"]["create"] == 1

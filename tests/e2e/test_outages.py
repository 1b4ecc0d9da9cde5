"""An outage that outlasts the patience of a run: exit code 8 after the first write, and resume does the rest."""

from itertools import product
from typing import Any

import httpx
import pytest

from reconcile.core.breaker import Patience
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import Profile, in_turn
from tests.e2e.small_world import assert_untouched, flags
from tests.e2e.traces import creates_per_uid

KINDS: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "code": 503},
    "HTML 502": {"kind": "status", "code": 502, "body": "html"},
    "500 after the commit": {"kind": "status", "code": 500, "when": "after"},
    "reset": {"kind": "reset"},
    "half an answer": {"kind": "truncated_json"},
}
FOREVER = 10**6
# Each kind, so many requests after those that planning needs; each of them meets every profile.
OUTAGES = list(product(KINDS, [10, 12, 15, 19]))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes are half a second."""
    monkeypatch.setattr("reconcile.cometchat.client.BACKOFF_S", 0.01)
    monkeypatch.setattr("reconcile.applying.hands.PAUSE_S", 0.01)
    monkeypatch.setattr("reconcile.cometchat.client.TIMEOUT", httpx.Timeout(2.0))
    monkeypatch.setattr("reconcile.run.PATIENCE", Patience(in_row=12, probe_every_s=0.05, longest_s=0.3))


@in_turn(("kind", "later"), OUTAGES)
def test_an_outage_that_does_not_end_is_finished_by_resume(
    world: Shell, sandbox: Sandbox, profile: Profile, kind: str, later: int
) -> None:
    """What was done before it counts; nothing is done twice; and then everybody is in step."""
    before = sandbox.users()
    world("plan", *flags())
    sandbox.fault(**KINDS[kind], nth=len(sandbox.log()) + later, times=FOREVER)
    stopped = world("apply", "--yes", "--json", *flags(), "--set", "limits.concurrency=2")
    sandbox.clear_faults()
    resumed = world("resume", "--json")
    check = world("plan", "--check", "--json", *flags())

    assert stopped.code == 8, (stopped.out, stopped.err[-1500:])
    assert stopped.json["verdict"] == "stopped"
    assert "resume" in stopped.json["error"]["hint"]
    assert resumed.code == profile.done, (resumed.out, resumed.err[-1500:])
    assert check.code == profile.done
    assert set(creates_per_uid(sandbox).values()) <= {1}
    assert_untouched(sandbox, before)


def test_an_outage_before_the_first_write_is_no_harm(world: Shell, sandbox: Sandbox, profile: Profile) -> None:
    """Exit code 7, and the next run does it all."""
    sandbox.fault("status", code=503, nth=3, times=FOREVER)
    stopped = world("apply", "--yes", "--json", *flags())
    sandbox.clear_faults()

    assert stopped.code == 7
    assert sandbox.counters().writes == 0
    assert world("apply", "--yes", "--json", *flags()).code == profile.done


def test_an_outage_that_ends_in_time_fails_no_run(
    world: Shell, sandbox: Sandbox, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One probe is answered, and everything goes on."""
    monkeypatch.setattr("reconcile.run.PATIENCE", Patience(in_row=5, probe_every_s=0.05, longest_s=30.0))
    sandbox.fault("status", code=503, nth=24, times=12)
    result = world("apply", "--yes", "--json", "--log-format", "json", *flags())

    assert result.code == profile.done, result.err[-1500:]
    assert "breaker.opened" in result.err
    assert "breaker.closed" in result.err

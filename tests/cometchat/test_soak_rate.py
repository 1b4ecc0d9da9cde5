"""The rate in real time, against real sockets: half a minute, in the soak alone."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconcile.cometchat.gate import Gate, Stop
from reconcile.cometchat.wire import Request
from reconcile.core.pacing import Budget, RateGroup
from reconcile.errors import ChangeRejected
from reconcile.sandbox.testing import Sandbox
from tests.cometchat.builders import a_client
from tests.cometchat.test_client import ROLES, SWITCH_OFF
from tests.scale import is_soaking

LIMITS = {RateGroup.CORE: 1200, RateGroup.STANDARD: 2400}
SECONDS, SHARE = 30.0, 0.8


@pytest.mark.skipif(not is_soaking(), reason="takes half a minute of real time: make soak")
def test_half_a_minute_of_both_groups_meets_no_refusal(sandbox: Sandbox) -> None:
    """Eight threads as fast as they may: evenly, and never over the share."""
    sandbox.set_limits(core=LIMITS[RateGroup.CORE], standard=LIMITS[RateGroup.STANDARD])
    gate = Gate({group: Budget(SHARE) for group in RateGroup}, Stop(time.monotonic), time.monotonic)
    client = a_client(base_url=sandbox.base_url, key=sandbox.api_key, gate=gate)
    ends_s = time.monotonic() + SECONDS

    def knock(number: int) -> None:
        request: Request[Any] = SWITCH_OFF if number % 2 else ROLES
        while time.monotonic() < ends_s:
            try:
                client.send(request)
            except ChangeRejected:
                continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(knock, range(8)))
    client.close()

    assert gate.throttled == 0
    assert [entry.status for entry in sandbox.log() if entry.status == 429] == []
    for group, limit in LIMITS.items():
        most = limit * SHARE * SECONDS / 60
        assert 0.5 * most <= gate.sent[group] <= most + 8

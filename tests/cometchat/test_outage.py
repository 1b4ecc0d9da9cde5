"""Promises about an outage: nobody goes on knocking, nothing fails meanwhile, and it is not waited out for ever."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from structlog.testing import capture_logs

from reconcile.cometchat.client import Client
from reconcile.cometchat.gate import Gate, Stop
from reconcile.core.breaker import Patience
from reconcile.core.pacing import Budget, RateGroup
from reconcile.errors import DirectoryBusy, DirectoryStopped, ExitCode, Interrupted, Unclear
from tests.cometchat.builders import Clock, a_client, a_gate, a_stop
from tests.cometchat.test_client import READ, SWITCH_OFF, UPDATE, Script, ok, refusal

BEGINS_S, WORKERS = 60.0, 16


def silent(clock: Clock) -> httpx.Response:
    """Nobody answers for as long as the library waits."""
    clock.advance(30)
    raise httpx.ReadTimeout("storm")


def unplugged(_: Clock) -> httpx.Response:
    """There is no connection."""
    raise httpx.ConnectError("storm")


KINDS: dict[str, Callable[[Clock], httpx.Response]] = {
    "503": lambda _: refusal(503),
    "HTML 502": lambda _: httpx.Response(502, html="<h1>502</h1>"),
    "half an answer": lambda _: httpx.Response(200, content=b'{"data":{"uid":'),
    "no connection": unplugged,
}


class Service:
    """Answers well but for an outage that begins after a minute."""

    def __init__(self, clock: Clock, kind: str, lasts_s: float) -> None:
        self.clock, self.kind, self.lasts_s = clock, kind, lasts_s
        self.probes: list[float] = []
        self.writes_in_outage = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        at_s = self.clock() - 1000 - BEGINS_S
        if not 0 <= at_s < self.lasts_s:
            return (
                httpx.Response(200, json={"data": [{"role": "default"}]}) if "roles" in str(request.url) else ok()
            )
        self.writes_in_outage += request.method != "GET"
        self.probes.append(at_s)
        return KINDS[self.kind](self.clock)


@pytest.fixture
def _endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that all threads push, the time on the wire of one is that of all."""
    monkeypatch.setattr("reconcile.cometchat.errands.WIRE_S", 1e9)


def change_one(client: Client) -> int:
    """Look and write, again as long as the write is unclear; gives the requests that it needs, 0 if it failed."""
    while True:
        try:
            client.send(READ)
            client.send(UPDATE)
        except Unclear:
            continue
        except DirectoryBusy:
            return 0
        return 2


@pytest.mark.usefixtures("_endless")
@pytest.mark.parametrize("kind", KINDS)
def test_an_outage_of_ten_minutes_costs_hardly_a_request(kind: str) -> None:
    """At the most a fifth more than without it, and a hundred; all but the first to notice wait for its end."""
    clock = Clock()
    service = Service(clock, kind, lasts_s=560)  # the last probe before ten minutes may come at 570
    gate = a_gate(clock, standard=600)
    client = a_client(service, gate=gate)
    with ThreadPoolExecutor(WORKERS) as pool:
        needed = list(pool.map(lambda _: change_one(client), range(600)))

    assert clock() - 1000 > BEGINS_S + 560
    assert sum(gate.sent.values()) <= 1.2 * sum(needed) + 100
    # Threads that a clock of all their waits drives are not fair: now and then one more comes first.
    assert needed.count(0) <= WORKERS // 2
    assert 10 <= len(service.probes) <= 100


@pytest.mark.usefixtures("_endless")
@pytest.mark.parametrize("kind", KINDS)
def test_an_outage_that_does_not_end_stops_every_worker(kind: str) -> None:
    """After ten minutes, with what to do, and with few requests on the way."""
    clock = Clock()
    service = Service(clock, kind, lasts_s=1e9)
    gate = a_gate(clock, standard=600)
    client = a_client(service, gate=gate)
    done = []

    def work(_: int) -> None:
        while True:
            done.append(change_one(client))

    with ThreadPoolExecutor(WORKERS) as pool:
        endings = [future.exception() for future in [pool.submit(work, number) for number in range(WORKERS)]]

    assert {type(ending) for ending in endings} == {DirectoryStopped}
    assert all("600 s" in str(ending) for ending in endings)
    assert sum(gate.sent.values()) <= 1.2 * sum(done) + 100
    assert len(service.probes) <= 100


def impatient(clock: Clock, in_row: int) -> Gate:
    """A gate for which so many failures are an outage."""
    budgets = {group: Budget(0.8, fixed=60_000) for group in RateGroup}
    return Gate(budgets, a_stop(clock), clock, Patience(in_row=in_row))


def test_it_can_be_seen_in_the_log() -> None:
    """When it began, each probe, and when it was over."""
    with capture_logs() as lines:
        a_client(Script(*[refusal(503)] * 5, ok()), gate=impatient(Clock(), 3)).send(READ)

    turns = [line for line in lines if line["event"] != "breaker.waiting"]
    assert [(line["event"], line.get("answered")) for line in turns] == [
        ("breaker.opened", None),
        ("breaker.probed", False),
        ("breaker.probed", False),
        ("breaker.probed", True),
        ("breaker.closed", None),
    ]


def test_the_log_says_why_nothing_moves_and_what_will_happen() -> None:
    """At most every ten seconds for as long as it lasts; once there was silence for ten minutes."""
    gate = impatient(Clock(), 3)
    for _ in range(3):
        gate.note("503", is_probe=False)

    def probe() -> None:
        while True:
            gate.note("503", is_probe=gate.enter(RateGroup.STANDARD))

    with capture_logs() as lines, pytest.raises(DirectoryStopped):
        probe()
    told = [line["words"] for line in lines if line["event"] == "breaker.waiting"]

    assert 40 <= len(told) <= 61
    assert {(line["log_level"], line["last"]) for line in lines} == {("warning", "503")}
    assert told[0] == (
        "waiting: CometChat does not answer (for 0 s; next probe in 30 s); the run stops unless it does within 600 s"
    )
    assert len(set(told)) == len(told)


def test_what_waits_with_a_write_sends_a_read_ahead() -> None:
    """Batches have no look of their own: nothing is switched off to find out whether somebody answers."""
    clock = Clock()
    service = Service(clock, "503", lasts_s=100)
    gate = impatient(clock, 1)
    clock.advance(BEGINS_S)
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        answer = service(request)
        lists = {"data": {"deactivatedUids": ["kiwi"]}}
        return httpx.Response(200, json=lists) if request.method == "DELETE" and answer.is_success else answer

    client = a_client(handler, gate=gate)
    with pytest.raises(Unclear):
        client.send(SWITCH_OFF)

    assert client.send(SWITCH_OFF) == {"deactivatedUids": frozenset({"kiwi"})}
    assert asked == ["DELETE /v3/users", *["GET /v3/roles"] * 4, "DELETE /v3/users"]


def test_a_refusal_for_the_rate_ends_an_outage() -> None:
    """Who says no is there."""
    clock = Clock()
    gate = a_gate(clock)
    client = a_client(Script(*[refusal(503)] * 20, refusal(429, retry_after="5"), ok()), gate=gate)
    with pytest.raises(DirectoryBusy):
        client.send(READ)

    assert client.send(READ) is not None
    assert not gate.is_shut


def test_a_probe_uses_up_no_attempt() -> None:
    """Whoever meets the outage waits for its end, however many probes that takes."""
    clock = Clock()
    client = a_client(Script(*[refusal(503)] * 35, ok()), gate=a_gate(clock))
    with pytest.raises(DirectoryBusy):
        client.send(READ)

    assert client.send(READ) is not None
    assert clock() - 1000 > 15 * 30


def test_users_that_always_fail_are_no_outage() -> None:
    """Nothing else is in hand but reads of four such users: each fails, and the run goes on."""
    clock = Clock()

    def handler(request: httpx.Request) -> httpx.Response:
        is_user = "/users/" in request.url.path
        return refusal(500) if is_user else httpx.Response(200, json={"data": [{"role": "default"}]})

    client = a_client(handler, gate=a_gate(clock))
    with ThreadPoolExecutor(4) as pool:
        endings = [future.exception() for future in [pool.submit(client.send, READ) for _ in range(4)]]

    assert {type(ending) for ending in endings} == {DirectoryBusy}


@pytest.mark.parametrize("code", [ExitCode.SIGTERM, ExitCode.STOPPED])
def test_a_signal_or_a_deadline_ends_the_wait_at_once(code: ExitCode) -> None:
    """In real time: with thirty seconds to the next probe, eight workers are gone within one."""
    stop = Stop(time.monotonic)
    gate = Gate({group: Budget(0.8, fixed=60_000) for group in RateGroup}, stop, time.monotonic)
    client = a_client(lambda _: refusal(503), gate=gate)
    for _ in range(20):
        gate.note("503", is_probe=False)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(client.send, request) for request in [READ, UPDATE] * 4]
        threading.Timer(0.1, stop.set, (code, "asked for")).start()
        endings = [type(future.exception(timeout=5)) for future in futures]
    began = stop._since

    assert endings == [Interrupted] * 8
    assert time.monotonic() - began < 1


# The time on the wire


def test_a_change_has_two_minutes_on_the_wire() -> None:
    """All its requests together; a look fits in behind its last write, and waiting at the gate is free."""
    clock, sent = Clock(), []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        clock.advance(30)
        raise httpx.ReadTimeout("storm")

    client = a_client(handler, gate=a_gate(clock, standard=1))
    with client.errands.one():
        with pytest.raises(Unclear):
            client.send(UPDATE)
        with pytest.raises(Unclear):
            client.send(UPDATE)
        with pytest.raises(Unclear):
            client.send(UPDATE)
        with pytest.raises(DirectoryBusy):
            client.send(UPDATE)
        with pytest.raises(DirectoryBusy, match="120 s on the wire"):
            client.send(READ)

    assert sent == ["PUT", "PUT", "PUT", "GET"]
    assert clock() - 1000 == pytest.approx(3 * 60 + 30, abs=1)


def test_every_read_outside_a_change_has_two_minutes_of_its_own() -> None:
    """What one took is not held against the next."""
    clock = Clock()
    client = a_client(lambda _: silent(clock), gate=a_gate(clock))
    for _ in range(4):
        with pytest.raises(DirectoryBusy):
            client.send(READ)
    before = clock()

    with pytest.raises(DirectoryBusy):
        client.send(READ)
    assert clock() - before > 100

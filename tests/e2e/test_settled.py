"""
No fault of the service, or of the way to it, makes the job believe or leave anything wrong.

The real client, gate, journal and plan against a small CometChat in memory, on a clock that waiting moves.
"""

import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import httpx
import pytest

from reconcile.cometchat.verdicts import TABLE, UNREADABLE, Answer, Row, Verdict, judge
from reconcile.core.outcome import Outcome
from reconcile.core.plan import Action
from reconcile.errors import DirectoryStopped
from tests.cometchat.test_client import raised
from tests.e2e.skies import Island, Weather, error, fair, packed_and_cut
from tests.scale import dice, how_many

_TLS = ssl.create_default_context()
Carry = Callable[[], httpx.Response]


@pytest.fixture
def island(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Island:
    """An empty service."""
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: _TLS)
    return Island(tmp_path)


# Every way to lose the answer to a write


def _events(row: Row) -> Iterator[str]:
    """Everything that ends in this row, as words that `struck` understands."""
    yield from (f"raise {name}" for name in sorted(row.failures) if hasattr(httpx, name))
    yield from ("unreadable" for name in UNREADABLE.names if name in row.failures)
    yield from (f"code {code.replace('*', 'X')}" for code in row.codes)
    for status in range(200, 600):
        for form, code in (("json", "ERR_X"), ("html", None)):
            if judge(Answer(status, code)) is row:
                yield f"{form} {status}"


def struck(event: str) -> httpx.Response:
    """What the job meets instead of an answer."""
    kind, _, rest = event.partition(" ")
    if kind == "raise":
        raise raised(rest)
    if kind == "unreadable":
        return httpx.Response(200, json={"data": []})
    if kind == "code":
        return error(400, rest)
    return error(int(rest), "ERR_X") if kind == "json" else httpx.Response(int(rest), html="<h1>storm</h1>")


LOST = [event for row in TABLE if row.write is Verdict.UNCLEAR for event in _events(row)]


@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])
@pytest.mark.parametrize("event", LOST)
def test_a_lost_answer_is_settled_by_looking(island: Island, event: str, applied: bool) -> None:  # noqa: FBT001
    """Create, update, reactivation and deactivation, each struck at its first write, end as if nothing had been."""
    for action in Action:
        island.want(action, f"user-{action}")
    met: set[str] = set()

    def weather(request: httpx.Request, carry_out: Carry) -> httpx.Response:
        write = f"{request.method} {request.url.path}"
        if request.method == "GET" or write in met:
            return carry_out()
        met.add(write)
        if applied:
            carry_out()
        return struck(event)

    outcomes = island.carry_out(weather, random=dice(event))

    assert len(met) == 4
    assert all(island.is_done(change) for change in island.changes)
    assert {settled.outcome for settled in outcomes.values()} <= {Outcome.APPLIED, Outcome.ALREADY}
    assert outcomes[1].outcome is outcomes[2].outcome is Outcome.APPLIED
    assert (island.service.creates, island.service.idle) == ({"user-create": 1}, [])


# Every row of the table, met by a look and by a write of a whole run

WRITES = {
    Verdict.ABSENT: Outcome.SKIPPED,
    Verdict.WAIT: Outcome.APPLIED,
    Verdict.AGAIN: Outcome.APPLIED,
    Verdict.ONCE: Outcome.APPLIED,
    Verdict.UNCLEAR: Outcome.APPLIED,
    Verdict.REJECT: Outcome.REJECTED,
}
# A success is no fault, and a taken uid can only be met by a create: the tests of the switches do.
_OTHERS = [row for row in TABLE if row.read not in {Verdict.DONE, Verdict.CONFLICT}]
MET = [(event, row) for row in _OTHERS for event in list(_events(row))[:1]]


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(("event", "row"), MET, ids=[event for event, _ in MET])
def test_every_row_ends_as_it_says(island: Island, event: str, row: Row, method: str) -> None:
    """Met once: the change ends as the table has it, or the run does."""
    island.want(Action.UPDATE, "kiwi")
    seen = Counter[str]()

    def weather(request: httpx.Request, carry_out: Carry) -> httpx.Response:
        seen[request.method] += 1
        return struck(event) if request.method == method and seen[method] == 1 else carry_out()

    verdict = row.verdict(is_write=method == "PUT")
    if verdict is Verdict.STOP:
        with pytest.raises(DirectoryStopped):
            island.carry_out(weather, random=dice(event))
    elif verdict is Verdict.BUG:
        with pytest.raises(getattr(httpx, event.removeprefix("raise "))):
            island.carry_out(weather, random=dice(event))
    else:
        settled = island.carry_out(weather, random=dice(event))[1]
        assert settled.outcome is WRITES[verdict], settled
        assert island.is_done(island.changes[0]) is (settled.outcome is Outcome.APPLIED)
    assert seen[method] >= 1


def test_fifty_refusals_for_the_same_reason_stop_the_run(island: Island) -> None:
    """With no success between: then it is not the users. What is left can be resumed."""
    for number in range(60):
        island.want(Action.UPDATE, f"user-{number}")

    def weather(request: httpx.Request, carry_out: Carry) -> httpx.Response:
        return error(400, "ERR_BAD_REQUEST") if request.method == "PUT" else carry_out()

    with pytest.raises(DirectoryStopped, match="50 changes in a row"):
        island.carry_out(weather, random=dice("fifty"))
    outcomes = island.carry_out(fair, random=dice("fifty"))

    assert len(outcomes) == 60
    assert 50 <= Counter(settled.outcome for settled in outcomes.values())[Outcome.REJECTED] <= 52


def test_a_success_between_the_refusals_lets_the_run_go_on(island: Island) -> None:
    """Ninety-eight users may be wrong."""
    for number in range(99):
        island.want(Action.UPDATE, f"user-{number}")

    def weather(request: httpx.Request, carry_out: Carry) -> httpx.Response:
        is_bad = request.method == "PUT" and not request.url.path.endswith("user-49")
        return error(400, "ERR_BAD_REQUEST") if is_bad else carry_out()

    outcomes = island.carry_out(weather, random=dice("ninety-eight"))

    assert Counter(settled.outcome for settled in outcomes.values()) == {"rejected": 98, "applied": 1}


# Any mixture of bad weather


class Storm:
    """Twelve kinds of fault, thrown by dice; `faults` counts them by kind."""

    def __init__(self, island: Island, draw: Random) -> None:
        self._clock, self._draw = island.clock, draw
        self._kinds: dict[str, Callable[[Carry], httpx.Response]] = {name: getattr(self, name) for name in KINDS}
        self.faults: Counter[str] = Counter()

    def __call__(self, _: httpx.Request, carry_out: Carry) -> httpx.Response:
        if self._draw.random() > 0.35:
            return carry_out()
        kind = self._draw.choice(list(self._kinds))
        self.faults[kind] += 1
        return self._kinds[kind](carry_out)

    def _lost(self, carry_out: Carry) -> None:
        """Before the commit, or after it."""
        if self._draw.random() < 0.5:
            carry_out()

    def _latency(self, carry_out: Carry) -> httpx.Response:
        self._clock.advance(self._draw.uniform(0, 20))
        return carry_out()

    def _reset(self, carry_out: Carry) -> httpx.Response:
        if self._draw.random() < 0.25:
            raise httpx.ConnectError("refused")
        self._lost(carry_out)
        raise self._draw.choice([httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError])("reset")

    def _silence(self, carry_out: Carry) -> httpx.Response:
        self._lost(carry_out)
        self._clock.advance(30)
        raise httpx.ReadTimeout("silence")

    def _slow(self, carry_out: Carry) -> httpx.Response:
        answer = carry_out()
        pause_s = self._draw.choice([0.01, 3.0])

        def drip() -> Iterator[bytes]:
            for byte in answer.content:
                self._clock.advance(pause_s)
                yield bytes([byte])

        return httpx.Response(answer.status_code, content=drip())

    def _cut(self, carry_out: Carry) -> httpx.Response:
        answer = carry_out()
        return httpx.Response(
            answer.status_code, content=answer.content[: self._draw.randrange(len(answer.content))]
        )

    def _cut_gzip(self, carry_out: Carry) -> httpx.Response:
        return packed_and_cut(carry_out(), self._draw.random())

    def _bad_json(self, carry_out: Carry) -> httpx.Response:
        carry_out()
        bodies = [
            b'{"data":NaN}',
            b"[]",
            b'{"data":{"uid":"somebody-else"}}',
            b'{"data":{"uid":"us',
            b"\xff",
            b"{}",
        ]
        return httpx.Response(200, content=self._draw.choice(bodies))

    def _wrong_type(self, carry_out: Carry) -> httpx.Response:
        answer = carry_out()
        return httpx.Response(answer.status_code, content=answer.content, headers={"content-type": "text/html"})

    def _429(self, _: Carry) -> httpx.Response:
        asked = self._draw.choice([{}, {"retry-after": "2"}, {"retry-after": "soon"}, {"retry-after": "0"}])
        return httpx.Response(429, json={"error": {"code": "ERR_TOO_MANY_REQUESTS"}}, headers=asked)

    def _5xx(self, carry_out: Carry) -> httpx.Response:
        self._lost(carry_out)
        return error(self._draw.choice([500, 502, 503, 504, 520]), self._draw.choice(["", "ERR_EXCEPTION"]))

    def _417(self, carry_out: Carry) -> httpx.Response:
        self._lost(carry_out)
        return error(417, "ERR_BAD_ERROR_RESPONSE")

    def _html_502(self, carry_out: Carry) -> httpx.Response:
        self._lost(carry_out)
        return httpx.Response(502, html="<h1>502</h1>")


KINDS = [
    "_latency", "_reset", "_silence", "_slow", "_cut", "_cut_gzip", "_bad_json", "_wrong_type", "_429", "_5xx",
    "_417", "_html_502",
]  # fmt: skip


@pytest.mark.parametrize("case", range(how_many(20, soak=200)))
def test_no_weather_leaves_anything_wrong(island: Island, case: int) -> None:
    """Fifty faults a case: what is said to be done is done, nothing is done twice, and the next run finishes."""
    draw = dice(f"storm/{case}")
    faults: Counter[str] = Counter()
    while faults.total() < 50:
        first = len(island.changes)
        for number in range(24):
            island.want(draw.choice(list(Action)), f"user-{first + number}")
        storm = Storm(island, draw)
        _weather_one_run(island, storm, draw)
        faults += storm.faults

    assert faults.total() >= 50


def _weather_one_run(island: Island, storm: Weather, draw: Random) -> None:
    island.runs += 1
    run_id = f"run-{island.runs}"
    try:
        outcomes = island.carry_out(storm, run_id, random=draw)
    except DirectoryStopped:
        outcomes = island.carry_out(fair, run_id, random=draw)
    by_seq = {change.seq: change for change in island.changes}
    said_done = {seq for seq, told in outcomes.items() if told.outcome in {Outcome.APPLIED, Outcome.ALREADY}}

    assert [by_seq[seq] for seq in said_done if not island.is_done(by_seq[seq])] == []
    assert {told.outcome for told in outcomes.values()} <= {Outcome.APPLIED, Outcome.ALREADY, Outcome.FAILED}
    assert island.service.idle == []

    island.carry_out(fair, f"{run_id}-next", random=draw)
    assert all(island.is_done(change) for change in island.changes)
    assert set(island.service.creates.values()) <= {1}
    assert all(
        island.service.users[change.uid]["metadata"].get("theme") == "dark"
        for change in island.changes
        if change.action is not Action.CREATE
    )

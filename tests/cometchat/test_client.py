"""Promises about one request: what is sent again, what is not, and what ends the run."""

import gzip
import inspect
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.cometchat import wire
from reconcile.cometchat.client import Client, Conflict
from reconcile.cometchat.errands import WIRE_S
from reconcile.cometchat.verdicts import TABLE, Verdict
from reconcile.cometchat.wire import Request
from reconcile.core.pacing import RateGroup
from reconcile.core.users import DirectoryUser
from reconcile.errors import (
    ChangeRejected,
    DirectoryBusy,
    DirectoryError,
    DirectoryStopped,
    ExitCode,
    Interrupted,
    Unclear,
)
from reconcile.sandbox.testing import Sandbox
from tests.cometchat.builders import KEY, Clock, Handler, a_client, a_gate, a_stop

KIWI = {"uid": "kiwi", "name": "Kiwi"}
FOUND = {"data": KIWI}
DEFAULT = frozenset({"default"})

READ = Request("GET", "/users/kiwi", lambda body: wire.read_user(body, "kiwi"))
ROLES = Request("GET", "/roles", wire.read_roles)
CREATE = Request("POST", "/users", lambda body: wire.read_user(body, "kiwi"), body=KIWI, group=RateGroup.CORE)
UPDATE = Request("PUT", "/users/kiwi", lambda body: wire.read_user(body, "kiwi"), body={"name": "Lime"})
SWITCH_OFF = Request(
    "DELETE", "/users", wire.read_uid_lists, body={"uidsToDeactivate": ["kiwi"]}, group=RateGroup.CORE
)


class Script:
    """Answers by a list, its last entry over and over; counts what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def ok() -> httpx.Response:
    """The user is there."""
    return httpx.Response(200, json=FOUND)


def refusal(status: int, code: str = "ERR_X", **headers: str) -> httpx.Response:
    """An error as CometChat words it; underscores in header names stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"error": {"code": code, "message": "no"}}, headers=named)


def users_of(script: Handler) -> DirectoryUser | None:
    """Read one user through a client that is answered by a script."""
    return a_client(script).send(READ)


# Every exception of the HTTP library


def named(read: Verdict, write: Verdict) -> list[str]:
    """The exceptions that the table says this about."""
    rows = [row for row in TABLE if (row.read, row.write) == (read, write)]
    return sorted(name for row in rows for name in row.failures if hasattr(httpx, name))


STOPS = named(Verdict.STOP, Verdict.STOP)
NOTHING_WAS_SENT = named(Verdict.AGAIN, Verdict.AGAIN)
ANSWER_LOST = named(Verdict.AGAIN, Verdict.UNCLEAR)
OUR_BUGS = named(Verdict.BUG, Verdict.BUG)


def raised(name: str) -> Exception:
    """Make an exception of the HTTP library by the name of its class."""
    kind = getattr(httpx, name)
    needs = [
        parameter
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    values = {"request": httpx.Request("GET", "https://app.example"), "response": ok()}
    error: Exception = kind(**{parameter.name: values.get(parameter.name, "storm") for parameter in needs})
    return error


@pytest.mark.parametrize("request_", [READ, CREATE, UPDATE, SWITCH_OFF], ids=lambda request: request.method)
@pytest.mark.parametrize("name", STOPS)
def test_what_no_request_can_survive_stops_the_run(name: str, request_: Request[object]) -> None:
    """At the first time, reading or writing."""
    script = Script(raised(name))
    with pytest.raises(DirectoryStopped) as stopped:
        a_client(script).send(request_)

    assert len(script.requests) == 1
    assert stopped.value.hint


@pytest.mark.parametrize("request_", [READ, CREATE, UPDATE, SWITCH_OFF], ids=lambda request: request.method)
@pytest.mark.parametrize("name", NOTHING_WAS_SENT)
def test_what_never_left_is_sent_again(name: str, request_: Request[object]) -> None:
    """A write too: nobody can have taken it."""
    script = Script(raised(name))
    with pytest.raises(DirectoryBusy):
        a_client(script).send(request_)

    assert len(script.requests) == 6


@pytest.mark.parametrize("name", ANSWER_LOST)
def test_a_read_whose_answer_is_lost_is_sent_again(name: str) -> None:
    """Until six attempts are spent."""
    script = Script(raised(name))
    with pytest.raises(DirectoryBusy):
        a_client(script).send(READ)

    assert len(script.requests) == 6
    assert users_of(Script(raised(name), ok())) is not None


@pytest.mark.parametrize("request_", [CREATE, UPDATE, SWITCH_OFF], ids=lambda request: request.method)
@pytest.mark.parametrize("name", ANSWER_LOST)
def test_a_write_whose_answer_is_lost_is_unclear(name: str, request_: Request[object]) -> None:
    """And is never sent a second time from here."""
    script = Script(raised(name))
    with pytest.raises(Unclear):
        a_client(script).send(request_)

    assert len(script.requests) == 1


@pytest.mark.parametrize("name", OUR_BUGS)
def test_a_misuse_of_the_library_is_not_hidden(name: str) -> None:
    """It is no weather."""
    with pytest.raises(getattr(httpx, name)):
        users_of(Script(raised(name)))


def test_an_untrusted_certificate_stops_the_run() -> None:
    """It is told apart from a network that is down, and no attempt more is made."""
    script = Script(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"))
    with pytest.raises(DirectoryStopped) as stopped:
        a_client(script).send(CREATE)

    assert len(script.requests) == 1
    assert "ca_file" in stopped.value.hint


@pytest.mark.parametrize("url", ["https://exa\x00mple/v3", "https://[::1/v3", "https://kiwi:notaport/v3"])
def test_an_address_that_is_none_stops_the_run(url: str) -> None:
    """The library finds that out before it sends."""
    with pytest.raises(DirectoryStopped) as stopped:
        a_client(Script(ok()), base_url=url).send(READ)

    assert "base_url" in stopped.value.hint


# Statuses and bodies

AGAIN = [408, 417, 425, 500, 502, 503, 504, 520, 599]
FINAL = [300, 301, 302, 303, 307, 308, 400, 402, 404, 405, 410, 413, 422, 451, 501, 505]
UNREADABLE = [b"", b"<html></html>", b'{"data":{"uid":"kiwi"', b'{"data":{"uid":"lime"}}', b"[]", b'{"data":NaN}']


@pytest.mark.parametrize("status", AGAIN)
def test_a_status_that_may_pass_is_tried_again_by_a_read_alone(status: int) -> None:
    """A write is left open, for a look to settle."""
    reads, writes = Script(refusal(status), ok()), Script(refusal(status), ok())
    with pytest.raises(Unclear) as unclear:
        a_client(writes).send(CREATE)

    assert a_client(reads).send(READ) is not None
    assert (len(reads.requests), len(writes.requests)) == (2, 1)
    assert unclear.value.status == status


@pytest.mark.parametrize("body", UNREADABLE)
def test_a_success_that_cannot_be_read_is_none(body: bytes) -> None:
    """It is read again, and a write is left open."""
    reads = Script(httpx.Response(200, content=body), ok())
    with pytest.raises(Unclear):
        a_client(Script(httpx.Response(200, content=body))).send(UPDATE)

    assert a_client(reads).send(READ) is not None
    assert len(reads.requests) == 2


@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("request_", [READ, UPDATE], ids=lambda request: request.method)
def test_a_status_for_good_rejects_this_one_request(status: int, request_: Request[object]) -> None:
    """At once, with what the service complained about."""
    error = {"code": "ERR_X", "message": f"key {KEY}", "details": {"name": ["bad"]}}
    script = Script(httpx.Response(status, json={"error": error}))
    with pytest.raises(ChangeRejected) as rejected:
        a_client(script).send(request_)

    assert len(script.requests) == 1
    assert (rejected.value.status, rejected.value.code, rejected.value.fields) == (status, "ERR_X", ("name",))
    assert KEY not in str(rejected.value)


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_a_user_that_is_not_there_is_none(status: int) -> None:
    """The code says so, whatever the status."""
    assert users_of(Script(refusal(status, "ERR_UID_NOT_FOUND"))) is None


def test_a_404_that_is_no_json_is_no_evidence_of_absence() -> None:
    """Some box on the way may have said it."""
    with pytest.raises(DirectoryBusy):
        users_of(Script(httpx.Response(404, html="<h1>404</h1>")))


def test_a_taken_uid_is_a_conflict() -> None:
    """It comes as a 400, and is nobody's fault."""
    with pytest.raises(Conflict):
        a_client(Script(refusal(400, "ERR_UID_ALREADY_EXISTS"))).send(CREATE)


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (401, "AUTH_ERR_APIKEY_NOT_FOUND", "check the key"),
        (403, "AUTH_ERR_NO_ACCESS", "fullAccess"),
        (402, "ERR_PLAN_RESTRICTION", "plan"),
        (400, "ERR_SUBSCRIPTION_EXPIRED", "plan"),
        (404, "ERR_API_NOT_FOUND", "base_url"),
        (403, "", "base_url"),
    ],
)
def test_a_refusal_of_everything_stops_the_run_with_its_remedy(status: int, code: str, remedy: str) -> None:
    """No retry can help."""
    script = Script(refusal(status, code))
    with pytest.raises(DirectoryStopped) as stopped:
        a_client(script).send(UPDATE)

    assert len(script.requests) == 1
    assert remedy in stopped.value.hint


def test_a_conflict_with_something_at_the_same_time_is_tried_once_more() -> None:
    """Once it was tried six times; what fails for another reason meanwhile is on another account."""
    reads, mixed = Script(refusal(409)), Script(*[refusal(503)] * 3, refusal(409), ok())
    with pytest.raises(DirectoryBusy):
        a_client(reads).send(READ)
    with pytest.raises(Unclear):
        a_client(Script(refusal(409))).send(UPDATE)

    assert len(reads.requests) == 2
    assert a_client(mixed).send(READ) is not None


@pytest.mark.parametrize("request_", [READ, UPDATE], ids=lambda request: request.method)
def test_a_redirect_says_what_to_look_at(request_: Request[object]) -> None:
    """Once it ended a run without a remedy."""
    with pytest.raises(ChangeRejected) as rejected:
        a_client(Script(httpx.Response(308, headers={"location": "/elsewhere"}))).send(request_)

    assert "redirect" in rejected.value.hint
    assert "base_url" in rejected.value.hint


# The rate


@pytest.mark.parametrize("request_", [READ, CREATE], ids=lambda request: request.method)
def test_a_429_is_no_attempt(request_: Request[object]) -> None:
    """It was not processed, so a write is repeated too; five failures may stand between nineteen of them."""
    failures = [] if request_.is_write else [refusal(503)] * 5
    script = Script(*[refusal(429)] * 19, *failures, ok())

    assert a_client(script).send(request_) is not None
    assert len(script.requests) == 20 + len(failures)


def test_twenty_429_in_a_row_are_enough() -> None:
    """Somebody else has the whole budget."""
    script = Script(refusal(429, retry_after="0"))
    with pytest.raises(DirectoryBusy) as busy:
        users_of(script)

    assert len(script.requests) == 20
    assert busy.value.status == 429


@pytest.mark.parametrize("asked", ["1", "15", "300", "Sun Nov  6 08:54:37 1994"])
def test_a_retry_after_holds_every_worker(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of eight meets the 429; none sends earlier than asked, nor much later than a tenth over it."""
    # Who waits moves the clock of all, also of those that are just being answered.
    monkeypatch.setattr("reconcile.cometchat.errands.WIRE_S", 1e6)
    clock, times = Clock(), []
    answers = Script(refusal(429, retry_after=asked, date="Sun, 06 Nov 1994 08:49:37 GMT"), ok())

    def handler(request: httpx.Request) -> httpx.Response:
        times.append(clock() - 1000)
        return answers(request)

    client = a_client(handler, gate=a_gate(clock))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.send(READ), range(40)))
    wait = float(asked) if asked.isdigit() else 300.0

    assert len(times) == 41
    assert [moment for moment in times if 0.1 < moment < wait] == []
    assert wait <= max(times) <= wait * 1.1 + 2


@pytest.mark.parametrize(
    "asked", [{"retry_after": "0"}, {"x_rate_limit_reset": "1", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}]
)
def test_a_wait_that_is_none_or_past_is_not_hammered(asked: dict[str, str]) -> None:
    """Once twenty requests left in the same second."""
    clock, times = Clock(), []
    script = Script(refusal(429, **asked))

    def handler(request: httpx.Request) -> httpx.Response:
        times.append(clock())
        return script(request)

    with pytest.raises(DirectoryBusy):
        a_client(handler, gate=a_gate(clock)).send(READ)

    assert all(
        later - sooner >= min(20, 0.5 * 2**number) for number, (sooner, later) in enumerate(pairwise(times))
    )


def test_a_wait_of_more_than_five_minutes_stops_the_run() -> None:
    """It can be resumed; a job that hangs for hours cannot be seen."""
    script = Script(refusal(429, retry_after="301"))
    with pytest.raises(DirectoryStopped) as stopped:
        users_of(script)

    assert len(script.requests) == 1
    assert "301 s" in stopped.value.message


def test_a_backoff_is_slept_in_full() -> None:
    """The pauses between attempts grow; once none was longer than a second."""
    clock, times = Clock(), []
    script = Script(refusal(503))

    def handler(request: httpx.Request) -> httpx.Response:
        times.append(clock())
        return script(request)

    with pytest.raises(DirectoryBusy):
        a_client(handler, gate=a_gate(clock)).send(READ)
    pauses = [later - earlier for earlier, later in pairwise(times)]

    assert max(pauses) > 2
    assert all(pause <= min(20, 0.5 * 2**number) + 0.01 for number, pause in enumerate(pauses, start=1))


def test_a_stop_ends_the_retries() -> None:
    """No attempt starts after it."""
    clock = Clock()
    stop = a_stop(clock)

    def handler(request: httpx.Request) -> httpx.Response:
        stop.set(ExitCode.SIGTERM, "interrupted")
        return refusal(503)

    with pytest.raises(Interrupted):
        a_client(handler, gate=a_gate(clock, stop=stop)).send(READ)


# Where requests go, and what they carry


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(status: int) -> None:
    """The key is in a header that the library would send along."""
    script = Script(httpx.Response(status, headers={"location": "https://elsewhere.example/v3/users/kiwi"}))
    with pytest.raises(DirectoryError):
        users_of(script)

    assert [request.url.host for request in script.requests] == ["app.example"]


PATHS = [
    "/users/.",
    "/users/..",
    "/users/../roles",
    "/users/a?b",
    "/users/a#b",
    "/users/%2e%2e",
    "/users/Ä",
    "/u//..",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_would_leave_as_another_is_not_sent(path: str) -> None:
    """`PUT /users` switches users off and on: no uid may turn into it."""
    script = Script(ok())
    with pytest.raises(DirectoryStopped):
        a_client(script).send(Request("PUT", path, lambda body: body, body={}))

    assert not script.requests


@settings(max_examples=300)
@given(st.from_regex(r"\A[a-z0-9_-]{1,100}\Z"))
def test_every_legal_uid_leaves_as_it_is(uid: str) -> None:
    """As the last part of the path, and nothing else."""
    _PATH_CLIENT.send(Request("GET", f"/users/{uid}", lambda body: body))

    assert _PATH_SCRIPT.requests[-1].url.raw_path == f"/v3/users/{uid}".encode()


_PATH_SCRIPT = Script(ok())
_PATH_CLIENT = a_client(_PATH_SCRIPT)


def test_a_request_carries_key_app_and_nothing_personal() -> None:
    """No host name, no user name; and it never acts on behalf of a user."""
    script = Script(ok())
    a_client(script).send(UPDATE)
    headers = script.requests[0].headers

    assert (headers["apikey"], headers["appid"]) == (KEY, "orchard")
    assert headers["content-type"] == "application/json"
    assert "onbehalfof" not in headers
    assert "authorization" not in headers


def test_a_drip_of_bytes_is_cut_off() -> None:
    """Each byte comes in time, and the answer never."""
    clock, dripped = Clock(), 0

    def drip() -> Iterator[bytes]:
        nonlocal dripped
        while True:
            clock.advance(20)
            dripped += 1
            yield b" "

    with pytest.raises(Unclear):
        a_client(lambda _: httpx.Response(200, content=drip()), gate=a_gate(clock)).send(UPDATE)

    assert dripped * 20 <= WIRE_S + 20


def test_a_proxy_does_not_get_between_us_and_this_machine(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http is for the loopback alone."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = a_client(base_url=sandbox.base_url, key=sandbox.api_key)

    assert "default" in (client.send(ROLES) or ())
    client.close()


# Over real sockets


def test_a_read_outlives_a_short_outage(client: Client, sandbox: Sandbox) -> None:
    """503 twice, then fine; the repetitions are counted."""
    sandbox.fault("status", path="/roles", code=503, times=2)

    assert client.send(ROLES) == DEFAULT
    assert len(sandbox.log()) == 3


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "truncated_json"},
        {"kind": "truncated_json", "declared": "whole"},
        {"kind": "truncated_json", "keep": 0.99},
        {"kind": "cut_gzip"},
        {"kind": "reset"},
        {"kind": "reset", "when": "after"},
        {"kind": "status", "code": 502, "body": "html"},
        {"kind": "status", "code": 504, "body": "empty"},
        {"kind": "silence", "seconds": 0.01},
        {"kind": "huge_body", "mebibytes": 21},
        {"kind": "status", "code": 429, "retry_after": "1"},
        {"kind": "status", "code": 429, "retry_after": "nonsense"},
    ],
    ids=str,
)
def test_a_read_outlives_bad_weather(client: Client, sandbox: Sandbox, fault: dict[str, object]) -> None:
    """The second time it is answered."""
    kind = str(fault["kind"])
    sandbox.fault(kind, path="/roles", times=1, **{name: fault[name] for name in fault if name != "kind"})

    assert client.send(ROLES) == DEFAULT
    assert len(sandbox.log()) == 2


@pytest.mark.parametrize(
    ("kind", "rest", "there"),
    [
        ("reset", {"when": "before"}, []),
        ("reset", {"when": "after"}, ["kiwi"]),
        ("status", {"when": "before", "code": 500}, []),
        ("status", {"when": "after", "code": 500}, ["kiwi"]),
        ("status", {"when": "after", "code": 502, "body": "html"}, ["kiwi"]),
        ("silence", {"when": "after", "seconds": 0.01}, ["kiwi"]),
        ("truncated_json", {}, ["kiwi"]),
        ("cut_gzip", {}, ["kiwi"]),
        ("huge_body", {"mebibytes": 21}, ["kiwi"]),
    ],
)
def test_a_create_whose_answer_is_lost_is_sent_once(
    client: Client, sandbox: Sandbox, kind: str, rest: dict[str, object], there: list[str]
) -> None:
    """Whether it was carried out or not is for a look to find out."""
    sandbox.fault(kind, method="POST", times=1, **rest)
    with pytest.raises(Unclear):
        client.send(CREATE)

    assert [entry.method for entry in sandbox.log()] == ["POST"]
    assert list(sandbox.users()) == there


def test_bytes_that_come_slowly_are_waited_for(client: Client, sandbox: Sandbox) -> None:
    """Slow is not broken."""
    sandbox.fault("slow_bytes", path="/roles", size=64, pause_ms=5)

    assert client.send(ROLES) == DEFAULT


def test_an_answer_of_another_content_type_is_read_by_what_is_in_it(client: Client, sandbox: Sandbox) -> None:
    """A header is only a claim."""
    sandbox.fault("wrong_content_type", path="/roles")

    assert client.send(ROLES) == DEFAULT


@contextmanager
def serving(*bodies: bytes) -> Iterator[str]:
    """Serve gzipped bodies as they stand, one a connection and the last one from then on; gives the base URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            rest = list(bodies)
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    body = rest.pop(0) if len(rest) > 1 else rest[0]
                    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
                    with connection, suppress(ConnectionError):
                        connection.recv(65_536)
                        connection.sendall(head.encode() + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v3"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


PACKED = gzip.compress(b'{"data":{"uid":"kiwi"}}', mtime=0)


@pytest.mark.parametrize(
    "first",
    [
        PACKED,
        PACKED[:-1] + b"\xff",
        PACKED[:15],
        b"\x1f\x8b",
        b"plain",
        b"",
        PACKED[:12] + b"\xff\xff" + PACKED[14:],
    ],
)
def test_a_packed_answer_is_unpacked_or_asked_for_again(first: bytes) -> None:
    """Whole, cut, spoilt, or not packed at all."""
    with serving(first, PACKED) as url:
        client = a_client(base_url=url)
        user = client.send(READ)
        client.close()

    assert user is not None
    assert user.uid == "kiwi"


def test_an_answer_that_unpacks_without_end_is_bounded() -> None:
    """A fifth of a megabyte that would be two hundred."""
    pack = zlib.compressobj(wbits=31)
    bomb = pack.compress(b"{") + b"".join(pack.compress(b" " * 2**20) for _ in range(200)) + pack.flush()
    with serving(bomb) as url:
        client = a_client(base_url=url)
        tracemalloc.start()
        with pytest.raises(Unclear):
            client.send(UPDATE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        client.close()

    assert peak < 60 * 2**20


def test_a_wrong_key_stops_the_run_and_is_not_shown(sandbox: Sandbox) -> None:
    """The service repeats it in its answer; we do not."""
    client = a_client(base_url=sandbox.base_url, key=KEY)
    with pytest.raises(DirectoryStopped) as stopped:
        client.send(ROLES)
    client.close()

    assert "check the key" in stopped.value.hint
    assert KEY[:5] not in str(stopped.value)
    assert len(sandbox.log()) == 1


def test_an_auth_only_key_stops_the_run_with_what_to_use(sandbox: Sandbox) -> None:
    """The dashboard's name for the right one is said."""
    client = a_client(base_url=sandbox.base_url, key=sandbox.auth_only_key)
    with pytest.raises(DirectoryStopped) as stopped:
        client.send(ROLES)
    client.close()

    assert "REST API Key" in stopped.value.hint


def test_an_answer_teaches_the_gate_the_rate(sandbox: Sandbox) -> None:
    """A careful rate becomes the share of what the headers say."""
    sandbox.set_limits(standard=1000)
    gate = a_gate(Clock(), core=None, standard=None)
    client = a_client(base_url=sandbox.base_url, key=sandbox.api_key, gate=gate)
    before = gate.rates()[RateGroup.STANDARD]
    client.send(ROLES)
    client.close()

    assert (before, gate.rates()[RateGroup.STANDARD]) == (400.0, 800.0)


def test_every_request_is_counted_by_its_group(client: Client, sandbox: Sandbox) -> None:
    """And repetitions on their own."""
    sandbox.fault("status", method="GET", code=503, times=1)
    client.send(CREATE)
    client.send(READ)
    gate = client._gate

    assert gate.sent == {RateGroup.CORE: 1, RateGroup.STANDARD: 2}
    assert (gate.retried, gate.throttled) == (1, 0)

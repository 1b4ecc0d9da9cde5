"""
The one door to the network: sends one request through the gate and gives back what its answer means.

Reads are repeated here until attempts are spent. A write whose answer was lost is never repeated here: it
leaves as `Unclear`, and `reconcile.applying` looks before it sends again. The key is in a header that no
redirect, log or error of ours carries.
"""

import re
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from http.cookiejar import CookieJar
from random import Random
from typing import Any, TypeVar

import httpx
import msgspec
import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from reconcile.cometchat.answers import Again, Conflict, Met, conclude, judge_answer, judge_failure
from reconcile.cometchat.deadlines import Deadlines, Line
from reconcile.cometchat.errands import Errands
from reconcile.cometchat.gate import Gate
from reconcile.cometchat.verdicts import NO_CERTIFICATE, Failure, Verdict
from reconcile.cometchat.wire import PROBE, RateHeaders, Request, read_date, read_rate_headers
from reconcile.core.skew import Skew, SkewMeter
from reconcile.descriptors import too_few
from reconcile.errors import DirectoryBusy, DirectoryStopped, SettingsError
from reconcile.logs import redact
from reconcile.settings import Secret

__all__ = ["Client", "Conflict"]

log = structlog.get_logger()

T = TypeVar("T")

ATTEMPTS, THROTTLES = 6, 20
FRESH_STARTS = 2  # of the attempts, when everybody fails; a few users that always fail are no outage
ASSUMED_LATENCY_S, SMOOTHING = 0.2, 32  # the time to an answer: before there was one, and the mean of how many
BACKOFF_S, BACKOFF_CAP_S = 0.5, 20.0
BODY_CAP = 20 * 1024 * 1024
# Nothing that a library or a server on the way would rewrite: /users/.. is the switch for all users.
_PATH = re.compile(r"(/[A-Za-z0-9_-]+)+")
TIMEOUT = httpx.Timeout(30.0, connect=5.0, pool=5.0)
_TIMEOUT = TIMEOUT.as_dict()
_WRITTEN = {Verdict.DONE, Verdict.UNCLEAR, Verdict.BUG}  # after which a write was carried out, or may have been


class _NoCookies(CookieJar):
    """Keeps no cookie: the API has none, and one from a box on the way is nobody's business. Looking costs, too."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Take none."""


@dataclass(frozen=True, slots=True)
class _Seat:
    """One connection: its client, its deadlines, and the headers of a request with a body."""

    client: httpx.Client
    line: Line
    with_body: httpx.Headers


class Client:
    """Sends requests for one app. Thread-safe: a connection has one exchange at a time."""

    def __init__(
        self,
        base_url: str,
        app_id: str,
        key: Secret,
        gate: Gate,
        *,
        random: Random,
        ca_file: str = "",
        transport: Callable[[], httpx.BaseTransport] | None = None,
        wall: Callable[[], float] | None = None,
    ) -> None:
        """
        `wall` gives this machine's time in unix seconds; without it nothing is learnt of the service's clock.

        Raises: SettingsError.
        """
        self._base_url = base_url
        self._headers = {
            "appid": app_id,
            "accept": "application/json",
            "accept-encoding": "gzip",
            "user-agent": "cometchat-reconcile",
        }
        self._key = key
        self._gate = gate
        self._random = random
        # Building a context costs 50 ms; all clients share one.
        self._tls = _trust(base_url, ca_file)
        self._transport = transport
        # Asked right before each write leaves; it raises where none may.
        self.may_write: Callable[[], None] = lambda: None
        self.writes = 0  # that left and were not refused
        self._free: list[_Seat] = []
        self._deadlines = Deadlines(gate.now)
        self._wall = wall
        self._skew = SkewMeter()
        self.latency_s = ASSUMED_LATENCY_S
        self.errands = Errands()
        self._opened: list[httpx.Client] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close every connection."""
        self._deadlines.close()
        with self._lock:
            for client in self._opened:
                client.close()
            self._opened.clear()

    def skew(self) -> Skew | None:
        """Give how far this machine's clock is from the service's by the last answers; None where none had a `Date`."""
        with self._lock:
            return self._skew.measured()

    def send(self, request: Request[T], *, settling: bool = False) -> T | None:
        """
        Send one request and give what its answer holds; None where the user is not there.

        A success that cannot be read counts as none. `settling` marks a look that settles a write in
        flight, which a stop still lets through for a while.
        Raises: ChangeRejected, Conflict, DirectoryBusy, DirectoryStopped, Unclear (writes only), Interrupted.
        """
        starts = 1 + FRESH_STARTS
        with self.errands.one():
            while True:
                try:
                    return self._send(request, settling=settling)
                except Again as spent:
                    starts -= 1
                    # An outage is nobody's fault: whoever meets it goes on, and waits for its end at the gate.
                    if not starts or not self._gate.is_shared(ATTEMPTS):
                        raise spent.error from None

    def _send(self, request: Request[T], *, settling: bool) -> T | None:
        once = 0

        def is_spent(state: RetryCallState) -> bool:
            nonlocal once
            failed = state.outcome.exception() if state.outcome else None
            once += isinstance(failed, Again) and failed.once
            return once > 1 or state.attempt_number >= ATTEMPTS

        retrying = Retrying(
            retry=retry_if_exception_type(Again),
            stop=is_spent,
            wait=self._backoff,
            sleep=self._gate.sleep,
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                return self._attempt(request, settling=settling, again=attempt.retry_state.attempt_number > 1)
        raise AssertionError("tenacity gives an attempt or raises")

    def _backoff(self, state: RetryCallState) -> float:
        # Full jitter: a crowd of workers must not come back together.
        return self._random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_S * 2**state.attempt_number))

    def _attempt(self, request: Request[T], *, settling: bool, again: bool) -> T | None:
        throttles, may_probe = 0, not request.is_write
        while throttles < THROTTLES:
            is_probe = self._pass(request, settling=settling, may_probe=may_probe)
            may_probe = may_probe and not is_probe  # Once: it may be this one user that fails.
            met, rate = self._meet(request, is_probe=is_probe, again=again or throttles > 0)
            if met.verdict is Verdict.WAIT:
                self._throttle(rate.wait_s, throttles)
                throttles += 1
            elif not (is_probe and met.verdict.may_pass):  # A probe that fails uses up no attempt.
                return conclude(met)
        words = f"CometChat refused {THROTTLES} times in a row for the rate"
        raise DirectoryBusy(words, hint="lower limits.share, and start anew: reconcile apply", status=429)

    def _pass(self, request: Request[T], *, settling: bool, may_probe: bool) -> bool:
        """Wait at the gate; True where this request is a probe. Where it may not be, another read is sent as one."""
        # A look has to fit in behind a write.
        reserve_s = (TIMEOUT.read or 0.0) if request.is_write else 0.0
        self.errands.check(f"{request.method} {request.path}", reserve_s)
        while self._gate.enter(request.group, settling=settling):
            if may_probe:
                return True
            self._meet(PROBE, is_probe=True, again=True)
        return False

    def _throttle(self, asked: float | None, throttles: int) -> None:
        # What lies in the past asks for nothing: then as if nothing had been asked.
        wait = asked or min(BACKOFF_CAP_S, BACKOFF_S * 2**throttles)
        log.warning("directory.throttled", wait_s=round(wait, 1))
        self._gate.pause(wait, jitter_s=wait * self._random.random() / 10)

    def _meet(self, request: Request[T], *, is_probe: bool, again: bool) -> tuple[Met[T], RateHeaders]:
        """Send a request once, judge what it meets, and let the gate learn from it."""
        if request.is_write:
            self.may_write()
            self._count_write(1)
        self._gate.count(request.group, again=again)
        began = self._gate.now()
        met, rate = self._judged(request)
        if request.is_write and met.verdict not in _WRITTEN:
            self._count_write(-1)
        spent = self._gate.now() - began
        if not is_probe:  # An outage is on nobody's account.
            self.errands.spend(spent)
        if met.status is not None:
            # Two threads at once may lose one of two answers here, and nothing by it.
            self.latency_s += (spent - self.latency_s) / SMOOTHING
        self._gate.observe(request.group, rate)
        turn = self._gate.note(
            met.words if met.verdict.may_pass else "", is_probe=is_probe, is_write=request.is_write
        )
        if is_probe:
            log.info("breaker.probed", answered=not met.verdict.may_pass, status=met.status)
        if turn is not None:
            log.warning(f"breaker.{turn}", status=met.status, failure=met.words)
        return met, rate

    def _judged(self, request: Request[T]) -> tuple[Met[T], RateHeaders]:
        try:
            status, headers, body = self._exchange(request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            trouble = too_few(error)
            if trouble is not None:
                self._count_write(-request.is_write)
                raise trouble from error
            return judge_failure(request, _failure(error)), RateHeaders()
        return _without_secrets(judge_answer(request, status, body)), read_rate_headers(headers)

    def _count_write(self, number: int) -> None:
        with self._lock:
            self.writes += number

    def _exchange(self, request: Request[T]) -> tuple[int, dict[str, str], bytes]:
        began = self._gate.now()
        # One look a request: a clock that is set meanwhile makes no request seem longer than it was.
        sent_unix_s = self._wall() if self._wall else None
        left_s = self.errands.left_s or 0.0
        with self._seated() as seat, self._deadlines.over(seat.line, left_s):
            response = seat.client.send(self._build(request, seat), stream=True)
            took_s = self._gate.now() - began
            try:
                headers = dict(response.headers)
                body = _read_capped(response, lambda: self._gate.now() - began > left_s)
            finally:
                response.close()
        if sent_unix_s is not None:
            with self._lock:
                self._skew.note(sent_unix_s, took_s, read_date(headers))
        return response.status_code, headers, body

    def _build(self, request: Request[T], seat: "_Seat") -> httpx.Request:
        wrong = DirectoryStopped(
            f"the path {request.path} would leave as another one",
            hint="this is a bug in reconcile: please report it with the lines above",
        )
        if not _PATH.fullmatch(request.path):
            raise wrong
        url = httpx.URL(self._base_url + request.path, **({"params": request.params} if request.params else {}))
        expected = self._base_path + request.path
        if url.raw_path.split(b"?", 1)[0] != expected.encode():
            raise wrong
        # Not by the client's own `build_request`: it would merge headers, addresses and cookies anew for each.
        return httpx.Request(
            request.method,
            url,
            headers=seat.client.headers if request.body is None else seat.with_body,
            content=None if request.body is None else msgspec.json.encode(request.body),
            extensions={"timeout": _TIMEOUT, "trace": seat.line.trace},
        )

    @cached_property
    def _base_path(self) -> str:
        return httpx.URL(self._base_url).raw_path.decode().rstrip("/")

    @contextmanager
    def _seated(self) -> Iterator["_Seat"]:
        """Give a connection for one exchange. One that is free is used again: the threads come and go."""
        try:
            seat = self._free.pop()
        except IndexError:
            client = self._open()
            with_body = httpx.Headers([*client.headers.raw, (b"content-type", b"application/json")])
            seat = _Seat(client, Line(), with_body)
        try:
            yield seat
        finally:
            self._free.append(seat)

    def _open(self) -> httpx.Client:
        try:
            client = httpx.Client(
                headers={**self._headers, "apikey": self._key.reveal()},
                cookies=_NoCookies(),
                timeout=TIMEOUT,
                verify=self._tls,
                follow_redirects=False,
                limits=httpx.Limits(max_connections=2, max_keepalive_connections=1, keepalive_expiry=30),
                transport=self._transport() if self._transport else None,
                # Plain http is for this machine alone: a proxy would carry the key off it.
                trust_env=not self._base_url.lower().startswith("http:"),
            )
        except (ValueError, ImportError):
            # The library's words repeat the proxy's address, and that may hold a password.
            raise DirectoryStopped(
                "the proxy of the environment cannot be used",
                hint="HTTPS_PROXY or ALL_PROXY takes http://host:port or https://host:port, no SOCKS",
            ) from None
        with self._lock:
            self._opened.append(client)
        return client


def _trust(base_url: str, ca_file: str) -> ssl.SSLContext:
    if not ca_file and base_url.lower().startswith("http:"):
        # To read the system's authorities costs 30 ms. This one trusts nobody, and plain http asks for nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        # Also what OpenSSL says of a file without a certificate in it.
        reason = getattr(error, "reason", None) or error.strerror
        raise SettingsError(
            f"cometchat.ca_file {ca_file} cannot be used: {reason}", hint="name a PEM file of the authority"
        ) from None


def _reason(error: httpx.ConnectError) -> str:
    """What OpenSSL has against a certificate."""
    words = str(error).partition("certificate verify failed: ")[2] or "no reason was given"
    return words.partition(" (_ssl.c")[0]


def _read_capped(response: httpx.Response, is_late: Callable[[], bool]) -> bytes:
    # httpx would unpack a chunk in one go, and 64 KiB may hold 64 MiB: so it is not told, and we unpack.
    packed = response.headers.pop("content-encoding", "").strip().lower() == "gzip"
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS + 16) if packed else None
    body = bytearray()
    for part in response.iter_bytes():
        if is_late():
            raise httpx.ReadTimeout("the answer does not end", request=response.request)
        try:
            body += unpacker.decompress(part, BODY_CAP + 1 - len(body)) if unpacker else part
        except zlib.error as error:
            raise httpx.DecodingError(str(error), request=response.request) from None
        if len(body) > BODY_CAP:
            # Whatever this is, it is no answer of the API; an empty body counts as unreadable.
            return b""
    return bytes(body)


def _without_secrets(met: Met[T]) -> Met[T]:
    """Take out what an error echoes of the key: codes and fields go into the state and the report."""
    if met.verdict is Verdict.DONE:
        return met
    error = msgspec.structs.replace(
        met.error, code=redact(met.error.code), fields=tuple(map(redact, met.error.fields))
    )
    return replace(met, words=redact(met.words), error=error)


def _failure(error: Exception) -> Failure:
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE" in str(error).upper():
        return replace(NO_CERTIFICATE, detail=_reason(error))
    return Failure(tuple(kind.__name__ for kind in type(error).__mro__))

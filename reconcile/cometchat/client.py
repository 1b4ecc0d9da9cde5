"""
The one door to the network: sends one request through the gate and gives back what its answer means.

Reads are repeated here until attempts are spent. A write whose answer was lost is never repeated here: it
leaves as `Unclear`, and `reconcile.apply` looks before it sends again. The key is in a header that no
redirect, log or error of ours carries.
"""

import re
import ssl
import threading
import zlib
from collections.abc import Callable
from random import Random
from typing import TypeVar

import httpx
import msgspec
import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from reconcile.cometchat.gate import Gate
from reconcile.cometchat.wire import BadAnswer, ErrorBody, Request, Verdict, judge, read_error, read_rate_headers
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryError, DirectoryStopped, Unclear
from reconcile.settings import Secret

__all__ = ["Client", "Conflict"]

log = structlog.get_logger()

T = TypeVar("T")

ATTEMPTS = 6
THROTTLES = 20
BACKOFF_S, BACKOFF_CAP_S = 0.5, 20.0
LONGEST_WAIT_S = 300.0
BODY_CAP = 20 * 1024 * 1024
ANSWER_S = 120.0  # for one answer: a drip of bytes never runs into the timeout between two of them
OUTAGE = 20  # failures in a row of reads, or of writes, over all workers: an outage and no hiccup
# Nothing that a library or a server on the way would rewrite: /users/.. is the switch for all users.
_PATH = re.compile(r"(/[A-Za-z0-9_-]+)+")
TIMEOUT = httpx.Timeout(30.0, connect=5.0, pool=5.0)


class Conflict(DirectoryError):
    """The uid of a create is taken."""


class _Again(Exception):
    """This attempt came to nothing; another may not."""

    def __init__(self, error: DirectoryError) -> None:
        super().__init__(error.message)
        self.error = error


class Client:
    """Sends requests for one app. Thread-safe: every thread has connections of its own."""

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
    ) -> None:
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
        self._tls = ssl.create_default_context(cafile=ca_file or None)
        self._transport = transport
        self._local = threading.local()
        self._opened: list[httpx.Client] = []
        self._lock = threading.Lock()
        # Apart, because looks that work would hide that no write does.
        self._failures = {"reads": 0, "writes": 0}

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for client in self._opened:
                client.close()
            self._opened.clear()

    def send(self, request: Request[T], *, settling: bool = False) -> T | None:
        """
        Send one request and give what its answer holds; None where the user is not there.

        A success that cannot be read counts as none. `settling` marks a look that settles a write in
        flight, which a stop still lets through for a while.
        Raises: ChangeRejected, Conflict, DirectoryBusy, DirectoryStopped, Unclear (writes only), Interrupted.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(_Again),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._backoff,
            sleep=self._gate.sleep,
            reraise=True,
        )
        try:
            for attempt in retrying:
                with attempt:
                    number = attempt.retry_state.attempt_number
                    return self._attempt(request, settling=settling, again=number > 1)
        except _Again as spent:
            raise spent.error from None
        raise AssertionError("tenacity gives an attempt or raises")

    def _backoff(self, state: RetryCallState) -> float:
        # Full jitter: a crowd of workers must not come back together.
        return self._random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_S * 2**state.attempt_number))

    def _attempt(self, request: Request[T], *, settling: bool, again: bool) -> T | None:
        for throttles in range(THROTTLES):
            self._gate.enter(request.group, settling=settling)
            self._gate.count(request.group, again=again or throttles > 0)
            status, headers, body = self._exchange(request)
            error = read_error(body)
            rate = read_rate_headers(headers)
            self._gate.observe(request.group, rate)
            verdict = judge(status, None if error is None else error.code)
            if verdict is not Verdict.WAIT:
                return self._conclude(request, verdict, status, error or ErrorBody(), body)
            self._throttle(rate.wait_s, throttles)
        raise DirectoryBusy(
            f"CometChat refused {THROTTLES} times in a row for the rate", hint="lower limits.share", status=429
        )

    def _throttle(self, asked: float | None, throttles: int) -> None:
        wait = asked if asked is not None else min(BACKOFF_CAP_S, BACKOFF_S * 2**throttles)
        if wait > LONGEST_WAIT_S:
            raise DirectoryStopped(
                f"CometChat asks to wait {wait:.0f} s, longer than the {LONGEST_WAIT_S:.0f} s that a run waits",
                hint="run again later, or resume",
                status=429,
            )
        log.warning("directory.throttled", wait_s=round(wait, 1))
        self._gate.pause(wait * (1 + self._random.random() / 10))

    def _conclude(
        self, request: Request[T], verdict: Verdict, status: int, error: ErrorBody, body: bytes
    ) -> T | None:
        words = f"{request.method} {request.path}: {status} {error.code}".rstrip()
        match verdict:
            case Verdict.DONE:
                return self._done(request, status, body)
            case Verdict.ABSENT:
                self._failures[_kind(request)] = 0
                return None
            case Verdict.CONFLICT:
                self._failures[_kind(request)] = 0
                raise Conflict(words, status=status, code=error.code)
            case Verdict.REJECT:
                self._failures[_kind(request)] = 0
                raise ChangeRejected(words, status=status, code=error.code, fields=error.fields)
            case Verdict.STOP:
                raise DirectoryStopped(words, hint=_remedy(status, error.code), status=status, code=error.code)
            case _:
                raise self._failed(request, words, status=status, code=error.code)

    def _done(self, request: Request[T], status: int, body: bytes) -> T:
        try:
            value = request.read(body)
        except BadAnswer as bad:
            raise self._failed(request, f"{request.method} {request.path}: {bad}", status=status) from None
        self._failures[_kind(request)] = 0
        return value

    def _failed(self, request: Request[T], words: str, *, status: int | None, code: str = "") -> Exception:
        """Note a failure that may pass, and say what it means for this request."""
        with self._lock:
            self._failures[_kind(request)] += 1
            failures = self._failures[_kind(request)]
        if failures >= OUTAGE:
            return DirectoryStopped(
                f"CometChat failed {failures} {_kind(request)} in a row, last: {words}",
                hint="look at the vendor's status page; finish later with: reconcile resume",
                status=status,
                code=code,
            )
        if request.is_write:
            return Unclear(words, status=status, code=code)
        return _Again(DirectoryBusy(words, hint="run again later", status=status, code=code))

    def _exchange(self, request: Request[T]) -> tuple[int, dict[str, str], bytes]:
        try:
            built = self._build(request)
            began = self._gate.now()
            response = self._client().send(built, stream=True)
            try:
                body = _read_capped(response, lambda: self._gate.now() - began > ANSWER_S)
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise self._classify(request, error) from None
        except httpx.InvalidURL as error:
            raise DirectoryStopped(f"the API's address is not usable: {error}", hint="check base_url") from None
        return response.status_code, {k.lower(): v for k, v in response.headers.items()}, body

    def _build(self, request: Request[T]) -> httpx.Request:
        content = None if request.body is None else msgspec.json.encode(request.body)
        built = self._client().build_request(
            request.method,
            self._base_url + request.path,
            params=dict(request.params) or None,
            content=content,
            headers={"content-type": "application/json"} if content is not None else None,
        )
        expected = httpx.URL(self._base_url).raw_path.decode().rstrip("/") + request.path
        if not _PATH.fullmatch(request.path) or built.url.raw_path.split(b"?", 1)[0] != expected.encode():
            raise DirectoryStopped(f"the path {request.path} would leave as another one", hint="report this")
        return built

    def _classify(self, request: Request[T], error: httpx.HTTPError) -> Exception:
        """The rows of the error table for answers that never came."""
        words = f"{request.method} {request.path}: {type(error).__name__}"
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.TooManyRedirects):
            return DirectoryStopped(words, hint="check cometchat.base_url")
        if isinstance(error, httpx.ConnectError) and "CERTIFICATE" in str(error).upper():
            return DirectoryStopped(
                f"{words}: the server's certificate is not trusted",
                hint="check base_url; for a company's own CA set cometchat.ca_file",
            )
        failed = self._failed(request, words, status=None)
        nothing_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        if isinstance(failed, Unclear) and nothing_sent:
            return _Again(DirectoryBusy(words, hint="is the network up?"))
        return failed

    def _client(self) -> httpx.Client:
        client: httpx.Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._open()
            self._local.client = client
        return client

    def _open(self) -> httpx.Client:
        client = httpx.Client(
            headers={**self._headers, "apikey": self._key.reveal()},
            timeout=TIMEOUT,
            verify=self._tls,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=1, keepalive_expiry=30),
            transport=self._transport() if self._transport else None,
            # Plain http is for this machine alone: a proxy would carry the key off it.
            trust_env=not self._base_url.lower().startswith("http:"),
        )
        with self._lock:
            self._opened.append(client)
        return client


def _kind(request: Request[T]) -> str:
    return "writes" if request.is_write else "reads"


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


def _remedy(status: int, code: str) -> str:
    if code in {"AUTH_ERR_NO_ACCESS", "ERR_PERMISSION_DENIED"}:
        return "use a key of scope fullAccess (the dashboard calls it REST API Key), not an Auth Key"
    if code.startswith("AUTH_ERR_") or status == 401:
        return "check the key, the app id and the region; a key has 40 characters"
    if code.startswith(("ERR_PLAN_", "ERR_SUBSCRIPTION_")):
        return "the app's plan does not allow this; see the dashboard"
    return "check cometchat.base_url, app_id and region"

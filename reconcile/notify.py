"""
Who is told how a run went: a ping at its start and its end, and a message when the state has changed.

The second door to the network. It knows the addresses of `[notify]` and nothing of CometChat's key, and what it sends
names no user. What cannot be told is logged and said; it never ends a run or changes its exit code.
"""

import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec
import structlog

from reconcile import __version__
from reconcile.core.report import Report
from reconcile.core.summary import Known, Summary, change_of, kind_of, said, summary_of, summary_without_run
from reconcile.errors import ExitCode, ReconcileError
from reconcile.logs import redact
from reconcile.run import World
from reconcile.settings import Notify, Secret, Settings
from reconcile.store.artifacts import replacing

__all__ = ["Told", "telling"]

log = structlog.get_logger()

TIMEOUT_S, TRIES = 5.0, 2
LONGEST_S = 11.0  # for all that is told at one time, whatever drips or hangs
HASTE_S = 3.0  # the same, where somebody waits for the process to end
MEMORY = "notified.json"  # beside the state file: what a run that gets no lock has to know and to keep, too
_SUFFIXES = {"start": "/start", "success": "", "failure": "/fail"}  # as Healthchecks has them
_AGAIN = frozenset({408, 425, 429})

Send = Callable[[], str]  # gives what went wrong; empty where nothing did


@dataclass(slots=True)
class Told:
    """What is to be told, filled in as it becomes known."""

    run_id: str | None = None
    report: Report | None = None


@contextmanager
def telling(command: str, settings: Settings, world: World, note: Callable[[str], None]) -> Iterator[Told]:
    """
    Tell of the block: that it starts, and how it ends, be it by an error.

    The block fills in what is yielded. `note` gets a line for people where somebody could not be told.
    """
    notify, told, began = settings.notify, Told(), world.now().isoformat(timespec="seconds")
    out = partial(_tell, world=world, note=note)
    out(_pings(notify, "start"), longest_s=LONGEST_S)
    try:
        yield told
    except Exception as error:
        code = error.exit_code if isinstance(error, ReconcileError) else ExitCode.BUG
        ended = world.now().isoformat(timespec="seconds")
        app_id = settings.cometchat.app_id
        _tell_end(settings, summary_without_run(command, app_id, code, began, ended, told.run_id), out)
        raise
    if told.report is not None:
        _tell_end(settings, summary_of(told.report), out)


def _tell_end(settings: Settings, summary: Summary, out: Callable[..., bool]) -> None:
    notify, memory = settings.notify, settings.run_dir / MEMORY
    known = _known(memory) if notify.webhook or notify.apprise else {}
    kind = kind_of(summary.command)
    before = known.get(kind)
    change = change_of(before, summary.exit_code)
    summary = msgspec.structs.replace(summary, change=change, previous=before)
    sends = _pings(notify, "failure" if summary.exit_code else "success")
    if change != "none" or notify.when == "always":
        sends |= _messages(notify, summary)
    is_hurried = summary.exit_code in {ExitCode.SIGINT, ExitCode.SIGTERM}
    was_told = out(sends, longest_s=HASTE_S if is_hurried else LONGEST_S)
    # A change that nobody took is told by the next run.
    if (notify.webhook or notify.apprise) and (change == "none" or was_told):
        _keep(memory, {**known, kind: summary.known})


def _pings(notify: Notify, moment: str) -> dict[str, Send]:
    """Give the ping of a moment, start, success or failure, where one is set."""
    own: Secret | None = getattr(notify, f"ping_{moment}")
    if own is not None:
        return {f"ping_{moment}": partial(_send, own)}
    if notify.ping is None:
        return {}
    parts = urlsplit(notify.ping.reveal())
    path = parts.path.rstrip("/") + _SUFFIXES[moment]
    return {f"ping ({moment})": partial(_send, Secret(urlunsplit(parts._replace(path=path))))}


def _messages(notify: Notify, summary: Summary) -> dict[str, Send]:
    sends: dict[str, Send] = {}
    if notify.webhook is not None:
        sends["webhook"] = partial(_send, notify.webhook, redact(msgspec.json.encode(summary).decode()).encode())
    for number, address in enumerate(notify.apprise, 1):
        sends[f"apprise, address {number}"] = _courier(address, summary)
    return sends


def _tell(sends: Mapping[str, Send], *, longest_s: float, world: World, note: Callable[[str], None]) -> bool:
    """Send all at once, wait no longer than so many seconds, and give whether any message arrived."""
    results = _all_of(sends, world.monotonic, longest_s)
    for name, wrong in results.items():
        if not wrong:
            log.info("notify.sent", what=name)
            continue
        log.warning("notify.failed", what=name, words=wrong)
        note(f"note: notify.{name} failed: {wrong}; the run is not affected")
    return any(not wrong for name, wrong in results.items() if not name.startswith("ping"))


def _all_of(sends: Mapping[str, Send], monotonic: Callable[[], float], longest_s: float) -> dict[str, str]:
    # What still hangs after that is left behind; a daemon thread keeps no process alive.
    results = dict.fromkeys(sends, f"no end within {longest_s:.0f} s")

    def one(name: str, send: Send) -> None:
        try:
            results[name] = send()
        except Exception as error:  # noqa: BLE001 - a library may raise anything, and its words may hold the address
            results[name] = f"a bug or a broken library: {type(error).__name__}"

    threads = [threading.Thread(target=one, args=item, daemon=True) for item in sends.items()]
    until = monotonic() + longest_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - monotonic()))
    return dict(results)


def _send(address: Secret, body: bytes | None = None) -> str:
    """GET the address, or POST the body to it; once more where that may help."""
    wrong = ""
    for _ in range(TRIES):
        wrong, may_help = _try(address.reveal(), body)
        if not may_help:
            break
    return wrong


def _try(url: str, body: bytes | None) -> tuple[str, bool]:
    """Give what went wrong, and whether another try may help. None of the library's own words: they hold the URL."""
    method, headers = "GET", {"user-agent": f"cometchat-reconcile/{__version__}"}
    if body is not None:
        method, headers = "POST", headers | {"content-type": "application/json"}
    try:
        client = httpx.Client(
            timeout=TIMEOUT_S,
            verify=ssl.create_default_context(),
            follow_redirects=False,
            trust_env=not url.lower().startswith("http:"),  # plain http is for this machine alone
        )
    except (ValueError, ImportError):
        return "the proxy of the environment cannot be used", False
    try:
        with client, client.stream(method, url, content=body, headers=headers) as answer:
            status = answer.status_code
    except httpx.TimeoutException:
        return f"no answer within {TIMEOUT_S:.0f} s", True
    except httpx.ConnectError as error:
        is_untrusted = "CERTIFICATE" in str(error).upper()
        return ("its certificate is not believed", False) if is_untrusted else ("it cannot be reached", True)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return f"the exchange broke off ({type(error).__name__})", True
    return _judged(status), status >= 500 or status in _AGAIN


def _judged(status: int) -> str:
    if status // 100 == 2:
        return ""
    return f"it answered {status}" + (", and redirects are not followed" if status // 100 == 3 else "")


def _courier(address: Secret, summary: Summary) -> Send:
    """Get Apprise ready to deliver. Loading its hundred ways takes a second or more, which is not delivering's."""
    # It writes parts of addresses into its log.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    try:
        import apprise  # noqa: PLC0415 - an extra

        courier = apprise.Apprise()
        if not courier.add(address.reveal()):
            return lambda: "Apprise cannot use this address"
        kind = apprise.NotifyType.FAILURE if summary.exit_code else apprise.NotifyType.SUCCESS
    except Exception as error:  # noqa: BLE001 - it runs the code of many others
        words = f"Apprise is broken ({type(error).__name__})"
        return lambda: words
    title, text = map(redact, said(summary))

    def deliver() -> str:
        tries = (courier.notify(body=text, title=title, notify_type=kind) for _ in range(TRIES))
        return "" if any(tries) else "Apprise could not deliver it"

    return deliver


def _known(memory: Path) -> dict[str, Known]:
    """Give how the last run of each kind ended; a file that is absent or broken says nothing."""
    try:
        return msgspec.json.decode(memory.read_bytes(), type=dict[str, Known])
    except (OSError, msgspec.DecodeError):
        return {}


def _keep(memory: Path, known: Mapping[str, Known]) -> None:
    if not memory.parent.is_dir():
        return  # No run has been opened here yet.
    try:
        with replacing(memory) as file:
            file.write(msgspec.json.encode(known))
    except ReconcileError as error:
        log.warning("notify.not_remembered", message=error.message, hint=error.hint)

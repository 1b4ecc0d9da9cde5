"""
Who is told how a run went: a ping at its start and its end, and a message when the state has changed.

It knows the addresses of `[notify]` and nothing of CometChat's key, and what it sends names no user. What cannot be told
is logged and said; it never ends a run or changes its exit code. Whoever sets the addresses up can have them looked at,
or told once on purpose.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import structlog

from reconcile.core.report import Report
from reconcile.core.summary import (
    Known,
    Summary,
    a_test,
    change_of,
    kind_of,
    said,
    summary_of,
    summary_without_run,
)
from reconcile.courier import Answer, Errand, all_of, message, reach, send, usable
from reconcile.errors import ExitCode, ReconcileError
from reconcile.logs import redact
from reconcile.run import World
from reconcile.settings import Notify, Secret, Settings
from reconcile.store.artifacts import replacing
from reconcile.trust import distrusted

__all__ = ["Told", "look", "rehearse", "telling"]

log = structlog.get_logger()

LONGEST_S = 11.0  # for all that is told at one time, whatever drips or hangs
HASTE_S = 3.0  # the same, where somebody waits for the process to end
MEMORY = "notified.json"  # beside the state file: what a run that gets no lock has to know and to keep, too
_SUFFIXES = {"start": "/start", "success": "", "failure": "/fail"}  # as Healthchecks has them


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
        if told.report is not None:  # How the run ended is known: what failed behind it does not change that.
            _tell_end(settings, summary_of(told.report), out)
            raise
        code = error.exit_code if isinstance(error, ReconcileError) else ExitCode.BUG
        ended = world.now().isoformat(timespec="seconds")
        app_id = settings.cometchat.app_id
        _tell_end(settings, summary_without_run(command, app_id, code, began, ended, told.run_id), out)
        raise
    if told.report is not None:
        _tell_end(settings, summary_of(told.report), out)


def look(notify: Notify, world: World) -> dict[str, Answer]:
    """Look at every address without sending anything to it: whether it is there, and whom it belongs to."""
    single = ((name, address) for name, address in notify.addresses if name != "apprise")
    errands: dict[str, Errand] = {name: partial(reach, address) for name, address in single}
    errands |= {_place(number): partial(usable, address) for number, address in enumerate(notify.apprise, 1)}
    return all_of(errands, world.monotonic, LONGEST_S)


def rehearse(settings: Settings, world: World) -> dict[str, Answer]:
    """
    Send one message that says that it is a test, and the ping of a success, and give how each was answered.

    A ping of a start or a failure is not sent: the one without an end, and the other by itself, raise an alarm. What the
    next run tells is not changed by it.
    """
    summary = a_test(settings.cometchat.app_id, world.now().isoformat(timespec="seconds"))
    sends = _pings(settings.notify, "success") | _messages(settings.notify, summary)
    return all_of(sends, world.monotonic, LONGEST_S)


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


def _pings(notify: Notify, moment: str) -> dict[str, Errand]:
    """Give the ping of a moment, start, success or failure, where one is set."""
    own: Secret | None = getattr(notify, f"ping_{moment}")
    if own is not None:
        return {f"ping_{moment}": partial(send, own)}
    if notify.ping is None:
        return {}
    parts = urlsplit(notify.ping.reveal())
    path = parts.path.rstrip("/") + _SUFFIXES[moment]
    return {f"ping ({moment})": partial(send, Secret(urlunsplit(parts._replace(path=path))))}


def _messages(notify: Notify, summary: Summary) -> dict[str, Errand]:
    sends: dict[str, Errand] = {}
    if notify.webhook is not None:
        sends["webhook"] = partial(send, notify.webhook, redact(msgspec.json.encode(summary).decode()).encode())
    for number, address in enumerate(notify.apprise, 1):
        title, text = map(redact, said(summary))
        sends[_place(number)] = message(address, title, text, is_bad=summary.exit_code != ExitCode.DONE)
    return sends


def _place(number: int) -> str:
    return f"apprise, address {number}"


def _tell(sends: Mapping[str, Errand], *, longest_s: float, world: World, note: Callable[[str], None]) -> bool:
    """Send all at once, wait no longer than so many seconds, and give whether any message arrived."""
    answers = all_of(sends, world.monotonic, longest_s)
    for name, answer in answers.items():
        if answer.is_well:
            log.info("notify.sent", what=name)
            continue
        log.warning("notify.failed", what=name, words=answer.words)
        note(f"note: notify.{name} failed: {answer.words}; the run is not affected")
    return any(answer.is_well for name, answer in answers.items() if not name.startswith("ping"))


def _known(memory: Path) -> dict[str, Known]:
    """Give how the last run of each kind ended; a file that is absent, broken or not to be trusted says nothing."""
    try:
        if distrusted(memory.parent) or distrusted(memory):
            return {}
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

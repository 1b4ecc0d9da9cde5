"""
One run: its id, its place, its locks, and the open connections that its stages share.

Everything that is opened here is closed here. Clock, randomness and identity come in with the `World`.
"""

import os
import pwd
import resource
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from random import Random, SystemRandom
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog

from reconcile import __version__
from reconcile.cometchat.client import Client
from reconcile.cometchat.directory import Directory
from reconcile.cometchat.gate import Gate, Stop
from reconcile.config import known_variables
from reconcile.core.breaker import Patience
from reconcile.core.guards import GuardClass
from reconcile.core.metadata import Private
from reconcile.core.pacing import Budget, RateGroup, in_flight
from reconcile.core.redaction import Redactor
from reconcile.core.skew import Skew
from reconcile.core.waivers import Waiver, waived
from reconcile.core.watermark import is_value
from reconcile.descriptors import check_enough, room
from reconcile.errors import ExitCode, SettingsError, StateError
from reconcile.fields import objections_to
from reconcile.interrupts import Interrupts
from reconcile.keys import api_key
from reconcile.logs import bind_run, name_nobody, redact, remember_secret
from reconcile.objections import impossible
from reconcile.progress import Progress
from reconcile.settings import CometChat, Notify, Secret, Settings, seconds_of
from reconcile.store.artifacts import RUN_ID, RunFolder, drop_partitions, open_run_dir
from reconcile.store.lock import app_lock_path, hold
from reconcile.store.state import RunRow, State
from reconcile.variables import unknown_variables

__all__ = [
    "PARTITIONS",
    "PRIVATE",
    "Options",
    "Run",
    "Stage",
    "Step",
    "World",
    "as_recorded",
    "open_run",
    "reading",
    "real_world",
    "sweep",
]

log = structlog.get_logger()

PATIENCE = Patience()
PARTITIONS = (
    "partitions"  # under which the state file remembers the stores that runs have put some in, a line each
)
PRIVATE = "private_metadata"  # under which it remembers whether answers show metadata.@private
_LAST, _STEP = 0xFFFF, 0x800  # of the four digits of a run's id, and how far two of one second lie apart at most
_LOGIN = 64  # characters of a login name that are kept
_ANEW = "start anew: reconcile apply; it looks first at what the run left open"


@dataclass(frozen=True, slots=True)
class World:
    """What differs from one moment to the next: the clocks, the dice, the environment, and how long to be patient."""

    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    random: Random
    environ: Mapping[str, str]
    patience: Patience
    login: str = "unknown"  # the system user that the process runs as, for the record of who let something pass


def real_world(environ: Mapping[str, str]) -> World:
    """Give the real clocks and dice."""
    now = lambda: datetime.now(UTC)  # noqa: E731, TID251 - the one place
    return World(time.monotonic, now, SystemRandom(), environ, PATIENCE, login_of(os.getuid(), environ))


def login_of(number: int, environ: Mapping[str, str]) -> str:
    """Name the system user of this number, and beside it the one that called `sudo`."""
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = "no name"  # as in many containers
    by_sudo = "".join(filter(str.isprintable, environ.get("SUDO_USER", "")))[:_LOGIN]
    return f"{name} (uid {number})" + (f", by sudo from {by_sudo}" if by_sudo else "")


@dataclass(frozen=True, slots=True)
class Options:
    """What one call of a command asks for beyond the settings."""

    check: bool = False
    limit: int | None = None
    release: Mapping[str, int] = field(default_factory=dict)
    accept_source: bool = False
    accept_mapping: bool = False
    expect_rows: int | None = None
    require_state: bool = False
    since: str | None = None  # read only what changed since then; empty: since the watermark
    redact: bool = False
    yes: bool = False  # nobody is asked
    accept_age: bool = False
    max_age: str | None = (
        None  # how old its work may be by today's settings, where a run goes on with recorded ones
    )

    @property
    def flaw(self) -> str:
        """What no command would have taken; empty where nothing is."""
        unknown = sorted(set(self.release) - set(GuardClass))
        if unknown:
            return f"--release has no class {', '.join(unknown)}"
        if any(
            number is not None and number < 0 for number in (self.limit, self.expect_rows, *self.release.values())
        ):
            return "a number of its flags is negative"
        return (
            f"--since {self.since} is neither a time nor a number"
            if self.since and not is_value(self.since)
            else ""
        )


class Step(StrEnum):
    """How far a run that writes has come; the first four say how it comes to its plan."""

    PLANNING = "planning"
    RETRYING = "retrying"
    ADOPTING = "adopting"
    UNDOING = "undoing"
    APPLYING = "applying"
    APPLYING_EXACTLY = "applying_exactly"


@dataclass(frozen=True, slots=True)
class Stage:
    """A step and what it is about: the plan that is adopted, the run that is undone or tried again."""

    step: Step
    target: str = ""

    @classmethod
    def read(cls, text: str) -> "Stage":
        """Read a stage as the state file has it. Raises: SettingsError."""
        step, _, target = text.partition(" ")
        try:
            return cls(Step(step), target)
        except ValueError:
            raise SettingsError(f"version {__version__} knows no run that is {step}", hint=_ANEW) from None

    @property
    def is_applying(self) -> bool:
        """Whether the plan was being carried out."""
        return self.step in {Step.APPLYING, Step.APPLYING_EXACTLY}

    @property
    def is_exact(self) -> bool:
        """Whether only what the plan says may happen: somebody has reviewed it, or it is a way back."""
        return self.step in {Step.ADOPTING, Step.UNDOING, Step.APPLYING_EXACTLY}

    def __str__(self) -> str:
        return f"{self.step} {self.target}".rstrip()


@dataclass(slots=True)
class Run:
    """
    A run that holds its locks. `timing` is seconds by stage of the main path, in order.

    `scratch` is what only the way to the plan needs: let go when that is made, or when the run ends. `room` is how many
    connections the process may have open.
    """

    id: str
    command: str
    settings: Settings
    options: Options
    world: World
    folder: RunFolder
    state: State
    stop: Stop
    interrupts: Interrupts
    gate: Gate
    progress: Progress
    client: Client
    started_at: datetime
    reached: Stage
    scratch: ExitStack
    room: int
    timing: dict[str, float] = field(default_factory=dict)
    _private: Private | None = None

    def waive(self, given: Iterable[tuple[str, str]]) -> None:
        """Note durably what a person lets pass in this run (what, value), and as which system user."""
        found = tuple(Waiver(what, value, self.world.login, self.today()) for what, value in sorted(given))
        if found:
            self.state.waive(self.id, found)

    def reach(self, stage: Stage) -> None:
        """Note durably how far the run has come, for whoever has to finish it."""
        self.reached = stage
        self.state.advance(self.id, str(stage))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and name it in the log."""
        began = self.world.monotonic()
        log.info("stage.started", stage=name)
        try:
            yield
        finally:
            self.timing[name] = round(self.timing.get(name, 0.0) + self.world.monotonic() - began, 3)

    def today(self) -> str:
        """The time for people, ISO 8601."""
        return self.world.now().isoformat(timespec="seconds")

    @property
    def skew(self) -> Skew | None:
        """How far this machine's clock is from CometChat's, by the answers so far; None where they do not say."""
        return self.client.skew()

    def directory(self, fields: tuple[str, ...]) -> Directory:
        """Give the directory for these managed fields."""
        return Directory(
            self.client,
            fields,
            workers=min(self.workers(), 16),
            unnamed=self.state.forgotten,
            on_private=None if self.private() is Private.SHOWN else self._private_was_shown,
        )

    def private(self) -> Private:
        """What is known of `metadata.@private` in the answers for this app."""
        if self._private is None:
            known = self.state.remembered(PRIVATE)
            self._private = Private(known) if known in set(Private) else Private.UNKNOWN
        return self._private

    def _private_was_shown(self) -> None:
        self._private = Private.SHOWN
        self.state.remember(PRIVATE, Private.SHOWN, self.today())

    def workers(self) -> int:
        """How many requests to have in flight: what the rates and the time to an answer make necessary, for now."""
        wanted = self.settings.limits.concurrency
        if wanted == "auto":
            wanted = in_flight(self.expected_rates().values(), self.client.latency_s)
        return min(wanted, self.room)

    def expected_rates(self) -> dict[RateGroup, float]:
        """
        Give the requests a minute to reckon with in a forecast.

        No read tells the limit of core; until a write did, it is taken for the documented half of standard.
        """
        rates = self.gate.rates()
        if self.gate.is_learnt(RateGroup.STANDARD) and not self.gate.is_learnt(RateGroup.CORE):
            rates[RateGroup.CORE] = rates[RateGroup.STANDARD] / 2
        return rates

    def expected_limits(self) -> dict[RateGroup, float | None]:
        """Give the requests a minute that the app may send, as far as its answers told: core as in `expected_rates`."""
        limits = self.gate.limits()
        standard = limits[RateGroup.STANDARD]
        if limits[RateGroup.CORE] is None and standard is not None:
            limits[RateGroup.CORE] = standard / 2
        return limits

    def rate_note(self) -> str:
        """Say what it costs that the app's limits are not known; empty when they are."""
        if self.gate.is_learnt(RateGroup.STANDARD):
            return ""
        rate = self.gate.rates()[RateGroup.STANDARD]
        return (
            f"CometChat sent no rate headers, so the careful {rate:.0f} requests a minute hold; when you know the "
            "app's limits: --set limits.core_per_minute=N --set limits.standard_per_minute=N"
        )

    def peak_rss_mib(self) -> int:
        """The most memory that the process has held so far, in MiB."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def new_run_id(world: World, run_dir: Path) -> str:
    """Give an id that sorts by time, also within a second, and that no run of this directory has."""
    while True:
        second = f"{world.now():%Y%m%dT%H%M%SZ}"
        taken = [int(folder.name[-4:], 16) for folder in run_dir.glob(f"{second}-{'[0-9a-f]' * 4}")]
        number = max(taken, default=-1) + 1 + secrets.randbelow(_STEP)
        if number <= _LAST:
            return f"{second}-{number:04x}"


@contextmanager
def open_run(
    command: str,
    settings: Settings,
    options: Options,
    world: World,
    progress: Progress,
    stage: Stage,
    *,
    again: RunRow | None = None,
) -> Iterator[Run]:
    """
    Take the locks, open the state file and get ready to talk to the app.

    `stage` is where it begins; `again` is an unfinished run that goes on there under its id.
    Raises: SettingsError, RunLocked, StateError: nothing was written then, and no run was noted.
    """
    key = api_key(settings, world.environ)
    remember_secret(key)
    run_id = again.run_id if again else new_run_id(world, settings.run_dir)
    bind_run(run_id)
    run_dir = open_run_dir(settings.run_dir)
    app = settings.cometchat
    with ExitStack() as stack:
        stack.enter_context(hold(run_dir, app_lock_path(world.environ, app.app_id, app.host), run_id))
        state = _open_state(run_dir, settings, options, world)
        stack.callback(state.close)
        if options.redact:
            name_nobody(Redactor(state.salt()).mark)
        _see_unmoved(state, again)
        stop = Stop(world.monotonic)
        interrupts = Interrupts(stop)
        stack.enter_context(interrupts.heard())
        stack.enter_context(_deadline(interrupts, settings))
        gate = Gate(_budgets(settings), stop, world.monotonic, world.patience)
        progress.watch(gate.spending)
        check_enough()
        client = _client(settings, world, key, gate)
        client.may_write = state.see_in_place
        stack.callback(client.close)
        with suppress(StateError):
            sweep(run_dir, state, world, settings.run.store)
        folder = RunFolder(run_dir, run_id)
        folder.make()
        started = _start_of(again) if again else world.now()
        run = Run(
            run_id,
            command,
            settings,
            options,
            world,
            folder,
            state,
            stop,
            interrupts,
            gate,
            progress,
            client,
            started,
            stage,
            stack.enter_context(ExitStack()),
            room(),
        )
        if unknown := unknown_variables(world.environ, known_variables()):
            log.warning("settings.unknown_variables", names=unknown, hint="reconcile init shows every setting")
        log.info("run.started", command=command, app_id=app.app_id, version=__version__, resumed=again is not None)
        given = waived(asdict(options))
        if again is None:
            row = RunRow(run_id, command, str(stage), started.isoformat())
            state.begin(row, settings=_recorded(settings, options), version=__version__)
        else:
            # The flags of the first start are recorded already, with the person who gave them.
            given -= waived(asdict(as_recorded(state.settings_of(run_id), settings)[1]))
        run.waive(given)
        yield run


def sweep(run_dir: Path, state: State, world: World, store: str) -> None:
    """
    Remove the partitions that a run which was killed left here, or in `store`, a place that others see.

    What the state file names outside of that store is left, and logged: nothing shows that we made it.
    Raises: StateError where that store cannot be reached; it is tried again by the next run.
    """
    drop_partitions(run_dir)
    for url in filter(None, state.remembered(PARTITIONS).split("\n")):
        if not _is_made_in(store, url):
            remedy = (
                "look at it, and remove it by hand; or set run.store to where it is, and the next run removes it"
            )
            log.warning("partitions.left", message=f"{redact(url)} is not in run.store", hint=remedy)
            continue
        from reconcile.partitions.shelves import Shared  # noqa: PLC0415 - brings Arrow

        try:
            Shared(url).remove()
        except StateError as error:
            log.warning("partitions.left", message=error.message, hint=error.hint)
            raise
        left = [line for line in state.remembered(PARTITIONS).split("\n") if line != url]
        state.remember(PARTITIONS, "\n".join(left), world.now().isoformat(timespec="seconds"))


def _is_made_in(store: str, url: str) -> bool:
    """Whether a URL is a place that a run makes in this store (see `partitions.shelves.shelf_at`)."""
    place, _, name = url.rpartition("/reconcile-")
    return bool(store) and place == store.rstrip("/") and RUN_ID.fullmatch(name) is not None


@contextmanager
def reading(settings: Settings, world: World) -> Iterator[tuple[Client, Gate]]:
    """Talk to the app without a run: for commands that only look. Raises: SettingsError where there is no key."""
    key = api_key(settings, world.environ)
    remember_secret(key)
    gate = Gate(_budgets(settings), Stop(world.monotonic), world.monotonic, world.patience)
    client = _client(settings, world, key, gate)
    try:
        yield client, gate
    finally:
        client.close()


def _client(settings: Settings, world: World, key: Secret, gate: Gate) -> Client:
    app = settings.cometchat
    wall = lambda: world.now().timestamp()  # noqa: E731 - the world's clock, as a number
    return Client(app.url, app.app_id, key, gate, random=world.random, ca_file=app.ca_file, wall=wall)


def _open_state(run_dir: Path, settings: Settings, options: Options, world: World) -> State:
    path = run_dir / "state.sqlite"
    if options.require_state and not (path.exists() and path.stat().st_size):
        raise SettingsError(
            f"there is no state file in {run_dir}, and --require-state asks for one",
            hint="mount the run directory of the last run, or leave the flag out for a first run",
        )
    state = State(path, settings.cometchat.app_id, lambda: world.now().timestamp())
    if state.is_new:
        log.warning("state.new", hint="no shrink guard, undo or resume reaches back before this run")
    return state


def _start_of(again: RunRow) -> datetime:
    """Return when a run started that goes on. Raises: SettingsError where its record has no such time."""
    with suppress(ValueError):
        started = datetime.fromisoformat(again.started_at)
        if started.tzinfo is not None:
            return started
    raise SettingsError(f"the state file has no time at which run {again.run_id} started", hint=_ANEW)


def _see_unmoved(state: State, again: RunRow | None) -> None:
    """See that a run that goes on is still the unfinished one that it was before the locks. Raises: SettingsError."""
    if again is not None and all((row.run_id, row.state) != (again.run_id, again.state) for row in state.runs()):
        raise SettingsError(
            f"another process has meanwhile taken up run {again.run_id}",
            hint="reconcile runs shows how it goes on",
        )


def _budgets(settings: Settings) -> dict[RateGroup, Budget]:
    limits = settings.limits
    rates: dict[RateGroup, Any] = {
        RateGroup.CORE: limits.core_per_minute,
        RateGroup.STANDARD: limits.standard_per_minute,
    }
    return {
        group: Budget(limits.share, fixed=None if rate == "auto" else float(rate)) for group, rate in rates.items()
    }


class _Recorded(msgspec.Struct):
    settings: Settings
    options: Options


def as_recorded(text: str, today: Settings) -> tuple[Settings, Options]:
    """
    Give the settings and options that a run was started with.

    The app and the way to it come from today, and so do the place of its files, the people who are told, and secrets: a
    database URL was recorded without its password. What is protected today stays protected.
    Raises: SettingsError where the run is of another app, or its settings are none that a file could have.
    """
    found = _decoded(text)
    recorded = found.settings
    if today.cometchat.app_id and _reached(recorded.cometchat) != _reached(today.cometchat):
        raise SettingsError(
            f"the run is of {' at '.join(_reached(recorded.cometchat))}, and the settings name "
            f"{' at '.join(_reached(today.cometchat))}",
            hint=f"resume it with the settings of its app; or {_ANEW}",
        )
    protect = dict.fromkeys((*today.policy.protect, *recorded.policy.protect))
    roles = dict.fromkeys((*today.policy.protect_roles, *recorded.policy.protect_roles))
    source = today.source if today.source.shown == recorded.source.shown else recorded.source
    recorded = msgspec.structs.replace(
        recorded,
        cometchat=today.cometchat,
        policy=msgspec.structs.replace(recorded.policy, protect=tuple(protect), protect_roles=tuple(roles)),
        source=source,
        run=today.run,
        notify=today.notify,
    )
    return recorded, found.options


def _decoded(text: str) -> _Recorded:
    """Read recorded settings, and check them as those of a file. Raises: SettingsError."""
    try:
        found = msgspec.json.decode(text, type=_Recorded)
        problems = impossible(found.settings) + objections_to(found.settings.fields.columns)
        words = "; ".join(what for what, _ in problems) or found.options.flaw
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        words = str(error)
    if words:
        raise SettingsError(
            f"the recorded settings of the run cannot be used by version {__version__}: {words}", hint=_ANEW
        )
    return found


def _reached(app: CometChat) -> tuple[str, str]:
    """Return which app it is, and where its API is: scheme, host and port."""
    return f"app {app.app_id}", f"{urlsplit(app.url).scheme}://{app.host}"


def _recorded(settings: Settings, options: Options) -> str:
    shown = msgspec.structs.replace(
        settings,
        source=msgspec.structs.replace(settings.source, location=settings.source.shown),
        notify=Notify(),
    )
    return msgspec.json.encode(_Recorded(shown, options)).decode()


@contextmanager
def _deadline(interrupts: Interrupts, settings: Settings) -> Iterator[None]:
    seconds = seconds_of(settings.limits.deadline)
    if seconds is None:
        yield
        return
    timer = threading.Timer(
        seconds, interrupts.stop, (ExitCode.STOPPED, f"the deadline of {settings.limits.deadline} passed")
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

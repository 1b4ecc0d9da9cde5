"""What `reconcile doctor` looks at: each finding with its remedy, nothing written to CometChat."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from reconcile.cometchat.directory import Directory
from reconcile.cometchat.gate import Gate
from reconcile.core.baseline import Baseline, window
from reconcile.core.pacing import RateGroup
from reconcile.core.skew import Skew, doubt_of
from reconcile.courier import Answer
from reconcile.errors import ExitCode, ReconcileError, SettingsError
from reconcile.notify import look, rehearse
from reconcile.objections import require_app, require_source
from reconcile.partitions.arrival import Arrival, Place
from reconcile.partitions.engines import Inline
from reconcile.partitions.shelves import Folder
from reconcile.run import World, reading
from reconcile.settings import Settings, mapping_for
from reconcile.sources import read_export
from reconcile.store.artifacts import partitions_aside
from reconcile.store.lock import app_lock_path, hold
from reconcile.store.state import State, StateReader
from reconcile.trust import see_state
from reconcile.watermarks import kept_in

__all__ = ["Finding", "examine"]

_SPACE = 256 << 20  # bytes: less than this is little for plan, reports and state of a large run


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `level` is ok, warn or fail; `code` what a run would end with."""

    what: str
    level: str
    words: str
    remedy: str = ""
    code: int = 0


def examine(settings: Settings, world: World, *, tells: bool = False) -> Iterator[Finding]:
    """
    Look at everything that a run needs, in the order in which it would need it.

    `tells` sends a test message to whom `[notify]` names.
    """
    yield from _settings(settings)
    roles: set[str] = set()
    yield _tried("source", lambda: _source(settings, world, roles))
    yield from _place(settings, world)
    if not require_app(settings):
        yield from _app(settings, world, roles)
    yield from _notify(settings, world, tells=tells)


def _tried(what: str, look: Callable[[], tuple[str, str, str]]) -> Finding:
    try:
        level, words, remedy = look()
    except ReconcileError as error:
        return Finding(what, "fail", error.message, error.hint, int(error.exit_code))
    return Finding(what, level, words, remedy)


def _settings(settings: Settings) -> Iterator[Finding]:
    problems = require_app(settings) + require_source(settings)
    for words, remedy in problems:
        yield Finding("settings", "fail", words, remedy, int(ExitCode.USAGE))
    if not problems:
        yield Finding("settings", "ok", f"from {settings.file or 'flags and environment'}")


def _source(settings: Settings, world: World, roles: set[str]) -> tuple[str, str, str]:
    with _arrival(settings) as arrival:
        choose = partial(mapping_for, settings)
        export = read_export(settings.source, choose, world.now().timestamp(), rows=arrival.rows)
        desired = arrival.desired(export)
        if "role" in desired.fields:
            roles.update(desired.role_names())
    words = f"{desired.rows:,} rows, {len(desired.quarantined):,} of them not usable; manages {', '.join(desired.fields)}"
    if desired.quarantined:
        first = desired.quarantined[0]
        return "warn", words, f"the first is row {first.source_row}: {first.detail}"
    return "ok", words, ""


@contextmanager
def _arrival(settings: Settings) -> Iterator[Arrival]:
    """
    Read as a run does, and what is too large for memory in partitions, too.

    Here and by this process: nobody would know of what is left in a store that others see.
    """
    with ExitStack() as stack:

        def begin() -> Place:
            return Place(Folder(stack.enter_context(partitions_aside(settings.run_dir))), Inline(), "")

        yield Arrival(settings, 0, begin)


def _place(settings: Settings, world: World) -> Iterator[Finding]:
    folder = settings.run_dir
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding("run dir", "fail", f"{existing} is not writable", "another --run-dir", int(ExitCode.USAGE))
        return
    free = shutil.disk_usage(existing).free
    level = "ok" if free > _SPACE else "warn"
    yield Finding("run dir", level, f"{folder}, {free >> 20:,} MiB free", "" if level == "ok" else "make room")
    if not folder.exists():
        yield Finding("state", "warn", "none yet: no shrink guard before the first run", "keep the run directory")
        return
    app = settings.cometchat
    try:
        see_state(folder / "state.sqlite")
    except ReconcileError as error:
        yield Finding("run dir", "fail", error.message, error.hint, int(error.exit_code))
        return
    try:
        # The state file has one writer at a time: it is opened only while no run can be at work.
        with hold(folder, app_lock_path(world.environ, app.app_id, app.host), "doctor"):
            yield Finding("lock", "ok", "free")
            yield _tried("state", lambda: _state(settings))
    except ReconcileError as error:
        yield Finding("lock", "fail", error.message, error.hint, int(error.exit_code))


def _state(settings: Settings) -> tuple[str, str, str]:
    path = settings.run_dir / "state.sqlite"
    if not path.exists():
        return "warn", "none yet: no shrink guard before the first run", "keep the run directory between runs"
    State(path, settings.cometchat.app_id).close()
    reader = StateReader(path)
    words = f"{path}, bound to this app; {_measure(window(reader.baselines()))}"
    kept = kept_in(reader)
    if kept is not None:
        words += (
            f"; the watermark of --since is {kept.mark}, and run {kept.full_run} was the last that read everything"
        )
    return "ok", words, ""


def _measure(good: tuple[Baseline, ...]) -> str:
    """Say what the next source is held against."""
    if not good:
        return "no good run so far, so the next source is held against nothing"
    last = good[0]
    most = max(good, key=lambda baseline: baseline.rows)
    words = f"the last good run {last.run_id} had {last.rows:,} rows"
    return words if most.rows == last.rows else f"{words}; the most of the last {len(good)} exports: {most.rows:,}"


def _app(settings: Settings, world: World, roles: set[str]) -> Iterator[Finding]:
    try:
        with reading(settings, world) as (client, gate):
            yield _key_file(settings, world)
            yield from _proxy(settings, world)
            yield from _answers(Directory(client, (), workers=1), gate, roles, settings, client.skew)
    except SettingsError as error:
        yield Finding("key", "fail", error.message, error.hint, int(error.exit_code))


def _key_file(settings: Settings, world: World) -> Finding:
    named = settings.cometchat.api_key_file or world.environ.get("COMETCHAT_API_KEY_FILE", "")
    if named and Path(named).stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return Finding("key", "warn", f"{named} can be read by others", f"chmod 600 {named}")
    return Finding("key", "ok", f"from {named or 'the environment'}")


def _proxy(settings: Settings, world: World) -> Iterator[Finding]:
    """Show the proxy that requests go through: whoever set the variable may not be whoever runs the job."""
    if settings.cometchat.url.lower().startswith("http:"):
        return
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    named = next((name for name in names if world.environ.get(name)), None)
    if named:
        # Who logs in there and with what stands before the @, with a scheme in front or without.
        place = world.environ[named].rpartition("@")[2].rpartition("//")[2]
        words = f"requests go through {place}, as {named} says"
        yield Finding("proxy", "warn", words, f"unset {named} where that is not meant; NO_PROXY names exceptions")


def _answers(
    directory: Directory, gate: Gate, roles: set[str], settings: Settings, skew: Callable[[], Skew | None]
) -> Iterator[Finding]:
    try:
        known = directory.roles()
    except ReconcileError as error:
        yield Finding("app", "fail", error.message, error.hint, int(error.exit_code))
        return
    yield Finding("app", "ok", f"{settings.cometchat.url} takes the key, and its scope is enough to read roles")
    missing = sorted(roles - known)
    if missing and not settings.roles.create_missing:
        words = f"the app has no role {', '.join(missing[:5])}; it has {', '.join(sorted(known))}"
        yield Finding("roles", "warn", words, "map them: [roles] map = {...}; their users are quarantined")
    else:
        yield Finding("roles", "ok", f"the app has {', '.join(sorted(known))}")
    rate = gate.rates()[RateGroup.STANDARD]
    if gate.is_learnt(RateGroup.STANDARD):
        yield Finding("limits", "ok", f"{rate:,.0f} standard requests a minute are ours")
    else:
        words = f"CometChat sends no rate headers, so {rate:,.0f} requests a minute are assumed"
        yield Finding("limits", "warn", words, "--set limits.standard_per_minute=N when you know the limit")
    yield _clock(skew())


def _clock(skew: Skew | None) -> Finding:
    """Hold this machine's clock against CometChat's: users are dated by theirs, exports by ours."""
    doubt = doubt_of(skew)
    if skew is None:
        return Finding(
            "clock", "warn", f"{doubt.partition(';')[0]}: no user is deactivated", doubt.partition("; ")[2]
        )
    remedy = "set this machine's clock, for example: sudo timedatectl set-ntp true"
    if doubt:
        words = f"{skew.words}: no user is deactivated until that is less than 5 minutes"
        return Finding("clock", "fail", words, remedy, int(ExitCode.HELD))
    if skew.matters:
        return Finding("clock", "warn", f"{skew.words}; comparisons take that into account", remedy)
    return Finding("clock", "ok", skew.words)


def _notify(settings: Settings, world: World, *, tells: bool) -> Iterator[Finding]:
    """Say whether those can be reached who are told how a run went. No address is shown: whoever has it may write there."""
    if not settings.notify.addresses:
        yield Finding("notify", "ok", "nobody is told how a run went: [notify] names no address")
        return
    looked = look(settings.notify, world)
    answers = rehearse(settings, world) if tells else {}
    for name, answer in looked.items():
        if not any(told.partition(" (")[0] == name for told in answers):
            yield _told(name, answer, "nothing was sent")
    for name, answer in answers.items():
        yield _told(name, answer, "a test was sent")


def _told(name: str, answer: Answer, what: str) -> Finding:
    words = f"{name}: {answer.words}; {what}"
    if answer.is_well:
        return Finding("notify", "ok", words)
    remedy = f"look at the variable that has notify.{name.partition(',')[0]}; a run goes on all the same"
    return Finding("notify", "warn", words, remedy)

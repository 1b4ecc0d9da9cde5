"""
Forget one user: erase it from the state file and from every run's files, and leave a tombstone.

CometChat is not asked: the user there, and the row in the app's own export, are for their owners to delete.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from reconcile.core.guards import GuardClass
from reconcile.core.plan import Change, PlanHeader
from reconcile.core.redaction import Redactor
from reconcile.core.users import fold_uid
from reconcile.errors import PlanError, SettingsError
from reconcile.report import REPORT_FILES
from reconcile.report.files import render, told_again
from reconcile.run import World, sweep
from reconcile.settings import Settings
from reconcile.store.artifacts import RUN_ID, RunFolder
from reconcile.store.erase import erase, named, redacted, without_protected
from reconcile.store.lock import app_lock_path, hold
from reconcile.store.planfile import PlanFile, write_plan
from reconcile.store.state import State, StateReader
from reconcile.store.users import USERS, drop_user
from reconcile.trust import see_state

__all__ = ["Forgotten", "forget"]


class Forgotten(msgspec.Struct, frozen=True):
    """
    What was erased: rows of the state file, and the runs whose files named the user.

    `still_in` are the settings of today that name the user, and so would write it down again.
    """

    rows: int
    runs: tuple[str, ...]
    still_in: tuple[str, ...] = ()


def forget(settings: Settings, world: World, uid: str) -> Forgotten:
    """Erase a user. Raises: SettingsError for what is no uid, RunLocked, StateError."""
    folded = fold_uid(uid)
    if folded is None:
        raise SettingsError(f"{uid!r} is no uid", hint="reconcile explain ID shows which uid an id becomes")
    run_dir, app = settings.run_dir, settings.cometchat
    path = run_dir / "state.sqlite"
    if not path.exists():
        raise SettingsError(f"there is no state file in {run_dir}", hint="name the run directory: --run-dir")
    see_state(path)
    with hold(run_dir, app_lock_path(world.environ, app.app_id, app.host), "forget"):
        with closing(State(path, app.app_id)) as state:
            sweep(run_dir, state, world, settings.run.store)
            salt = state.salt()
        folders = [folder for folder in _folders(run_dir) if _names(folder, folded)]
        rows = erase(path, folded, salt, world.now().isoformat(timespec="seconds"))
        for place in (run_dir, *(folder.path for folder in _folders(run_dir))):
            drop_user(place / USERS, folded, salt)
        for folder in folders:
            _rewrite(folder, folded, StateReader(path))
        return Forgotten(rows, tuple(folder.path.name for folder in folders), tuple(_still_in(settings, folded)))


def _still_in(settings: Settings, uid: str) -> Iterator[str]:
    lists = {"policy.protect": settings.policy.protect, "guards.sentinels": settings.guards.sentinels}
    yield from (key for key, entries in lists.items() if uid in map(str.lower, entries))
    if named(uid).search(settings.source.query):
        yield "source.query"


def _folders(run_dir: Path) -> Iterator[RunFolder]:
    for entry in sorted(run_dir.iterdir()):
        # What else stands in the run directory is not ours.
        if RUN_ID.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
            # What a killed run had begun to write: no run is at work now.
            for aside in entry.glob(".*.*"):
                aside.unlink()
            yield RunFolder(run_dir, entry.name)


def _names(folder: RunFolder, uid: str) -> bool:
    word = named(uid)
    return any(word.search(_content(file)) for file in folder.path.iterdir() if file.is_file())


def _content(file: Path) -> str:
    data = file.read_bytes()
    with suppress(OSError, EOFError, zlib.error):
        data = gzip.decompress(data) if file.suffix == ".gz" else data
    return data.decode("latin-1")


def _rewrite(folder: RunFolder, uid: str, state: StateReader) -> None:
    """Write the plan and the reports of a run again, without the user; numbers stay as they were counted."""
    _write_plan_without(folder, uid)
    formats = frozenset(form for form, name in REPORT_FILES.items() if folder.file(name).exists())
    told = told_again(folder, state)
    if told is None:
        # Killed while it wrote its report: there is nothing to make these of again.
        for name in (*REPORT_FILES.values(), "quarantine.csv"):
            folder.file(name).unlink(missing_ok=True)
        return
    redactor = Redactor(state.known_salt())
    names = {uid, redactor.mark("user", uid)}
    rows = tuple(row for row in told.quarantined if names.isdisjoint({row.uid, row.raw_uid.strip().lower()}))
    told = msgspec.structs.replace(told, report=redacted(told.report, uid), quarantined=rows)
    render(folder, told.redacted(redactor) if told.report.redacted else told, formats)


def _write_plan_without(folder: RunFolder, uid: str) -> None:
    try:
        plan = PlanFile(folder.plan)
    except PlanError:
        folder.plan.unlink(missing_ok=True)
        return
    gone = [change for change in plan.changes() if change.uid == uid]
    header = _less(plan.header, uid, gone)
    kept = [change for change in plan.changes() if change.uid != uid]
    write_plan(folder.plan, header, kept)


def _less(header: PlanHeader, uid: str, gone: list[Change]) -> PlanHeader:
    """Give the header of a plan that lost some changes, so that its sums still hold."""
    counts = dict(header.counts)
    for change in gone:
        counts[change.action] -= 1
        counts["held"] -= change.guard_class in header.held
    lost = Counter(change.guard_class for change in gone)
    guards = tuple(
        msgspec.structs.replace(guard, measured=guard.measured - lost[GuardClass(guard.guard)])
        for guard in header.guards
    )
    witnesses = {group: witness for group, witness in header.witnesses.items() if witness.lower() != uid}
    declared = without_protected(header.declared, uid)
    return msgspec.structs.replace(header, counts=counts, guards=guards, witnesses=witnesses, declared=declared)

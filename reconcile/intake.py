"""The source on its way in: read, checked row by row, and believed or not."""

import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pyarrow as pa
import structlog

from reconcile import __version__
from reconcile.core.baseline import Baseline, Sketch
from reconcile.core.cells import arrow
from reconcile.core.frame import Desired, Quarantined, with_roles
from reconcile.core.guards import GuardVerdict
from reconcile.core.mapping import Mapping
from reconcile.core.report import SourceCounts
from reconcile.core.shape import empty_counts, empty_shares, mark_of, reasons_of
from reconcile.core.sketch import fingerprint, sample_of, sketch_of
from reconcile.core.skew import by_service
from reconcile.core.source_guards import (
    Shape,
    SourceLimits,
    judge_checksum,
    judge_clocks,
    judge_history,
    judge_quarantine,
    judge_source,
)
from reconcile.core.watermark import View, Watermark
from reconcile.dating import Times, iso, judged_in_time
from reconcile.errors import SourceError, StateError
from reconcile.ledger import Ledger
from reconcile.partitions.arrival import Arrival, Place
from reconcile.partitions.engines import engine_of
from reconcile.partitions.parted import Parted
from reconcile.partitions.shelves import Shared, shelf_at
from reconcile.run import PARTITIONS, Run, sweep
from reconcile.settings import mapping_for
from reconcile.sources import Export, moment_of, read_export
from reconcile.watermarks import check_mark, view

__all__ = ["believe", "check_roles", "note", "read"]

log = structlog.get_logger()

_STALE_S = 86_400  # an export that a nightly job should have replaced
_CHECKSUM = re.compile(r"\\?([0-9a-fA-F]{64})(?:[ \t]+\*?\S.*)?")  # a line of sha256sum, with or without a name


def read(run: Run, ledger: Ledger) -> tuple[Export, Desired | Parted]:
    """Read the export, or what changed in it, and check every row. Raises: SourceError, SettingsError."""
    source, now = run.settings.source, run.world.now()
    part, kept = view(run)
    changed_by = None if part.since is None else source.since.column
    ledger.source = SourceCounts(location=source.shown, since=part.since, changed_by=changed_by)
    last = None if part.since else run.state.baseline()
    with run.progress.stage("read", last.rows if last else None, "rows") as tick:
        arrival = Arrival(run.settings, last.rows if last else 0, partial(_place, run))
        choose = partial(mapping_for, run.settings)
        export = read_export(source, choose, now.timestamp(), part.since, on_rows=tick, rows=arrival.rows)
    check_mark(run.settings, export.mark)
    ledger.mark = export.mark if part.advances else None
    collided = frozenset() if part.since is None else frozenset(run.state.quarantine() or ())
    desired = arrival.desired(export, collided)
    # Else what columns on the way took stays with Arrow: 60 MiB for a million rows, and for good.
    pa.default_memory_pool().release_unused()
    ledger.moment = moment_of(source, export, now.timestamp())
    as_of = by_service(ledger.moment, None).as_of_unix_s
    read_from = msgspec.structs.replace(ledger.source, sha256=export.sha256, as_of=iso(as_of))
    note(run, ledger, desired, read_from)
    ledger.notes += [*_part_notes(ledger.source, part, kept), *export.notes]
    ledger.notes += _age_note(now.timestamp() - as_of)
    if "role" in export.columns and "role" not in export.mapping.fields:
        ledger.notes.append('the source has a column "role" that is not mapped; map it by hand: --map role=role')
    log.info("source.read", rows=desired.rows, quarantined=len(desired.quarantined))
    return export, desired


def _place(run: Run) -> Place:
    settings = run.settings.run
    shelf = shelf_at(settings.store, run.folder.partitions, run.id)
    if isinstance(shelf, Shared):
        # Before the first of them is there: whoever kills this run leaves word of where they are.
        left = run.state.remembered(PARTITIONS)
        run.state.remember(PARTITIONS, f"{left}\n{shelf.url}".strip(), run.today())
    run.scratch.callback(_let_go, run)
    engine = engine_of(settings)
    run.scratch.callback(engine.close)
    return Place(shelf, engine, run.state.salt())


def _let_go(run: Run) -> None:
    with suppress(StateError):
        sweep(run.settings.run_dir, run.state, run.world, run.settings.run.store)


def note(run: Run, ledger: Ledger, desired: Desired | Parted, source: SourceCounts) -> None:
    """Take down what was read; a forgotten user whose row is in quarantine is not named again."""
    gone = frozenset(run.state.forgotten([row.uid for row in desired.quarantined if row.uid]))
    rows = tuple(_unnamed(row) if row.uid in gone else row for row in desired.quarantined)
    ledger.note_source(source, desired.valid, desired.rows, rows)


def believe(run: Run, ledger: Ledger, export: Export, desired: Desired | Parted) -> None:
    """Hold the source against its guards, before the first request. Raises: SourceError."""
    if ledger.source.since is not None:
        # A part says nothing about the whole, and is no measure for the next one.
        _, verdicts = judged_in_time(run, ledger, lambda by: judge_clocks(by.then, by.good, now_unix_s=by.now))
        _refuse_held(run, ledger, verdicts)
        return
    limits = _limits(run)
    if isinstance(desired, Parted):
        empty, present, sample = desired.empty, desired.present, desired.sample
    else:
        empty = empty_shares(empty_counts(export.frame, export.mapping), len(export.frame))
        present = frozenset(arrow(desired.users["uid"]).to_pylist()) if limits.sentinels else frozenset()
        users = pa.table({name: arrow(desired.users[name]) for name in ("uid", *desired.fields)})
        sample = sample_of(users, run.state.salt())
    sketch = _sketch(run, desired.mapping, sample, desired.valid)
    checksum = _checksum(run, export)

    def beside(by: Times) -> tuple[GuardVerdict, ...]:
        return judge_history(Shape(desired.rows, by.then, export.columns, empty, sketch), limits, by.good)

    def every(by: Times) -> tuple[GuardVerdict, ...]:
        shape = Shape(desired.rows, by.then)
        alone = judge_source(shape, limits, present=present, now_unix_s=by.now)
        return (*checksum, *alone, *beside(by))

    times, verdicts = judged_in_time(run, ledger, every)
    ledger.baseline = Baseline(
        run.id,
        desired.rows,
        as_of_unix_s=min(times.then, times.now),
        sha256=export.sha256,
        empty=empty,
        columns=export.columns,
        accepted=tuple(verdict.guard for verdict in beside(times) if verdict.is_held),
        sketch=sketch,
    )
    ledger.notes += _column_note(export.columns, times.good)
    _refuse_held(run, ledger, verdicts)


def check_roles(run: Run, ledger: Ledger, desired: Desired | Parted, known: frozenset[str]) -> Desired | Parted:
    """Quarantine the users of roles that the app lacks or that are protected, and judge the share of rows that are out."""
    guard, policy = run.settings.guards.max_quarantined, run.settings.policy
    known |= run.settings.creatable_roles
    checked: Desired | Parted
    if isinstance(desired, Parted):
        checked = desired.with_roles(known, policy.protect, policy.protected_roles, run.state.tombstones())
    else:
        checked = with_roles(desired, known, policy.protected_roles)
    note(run, ledger, checked, ledger.source)
    before = run.state.quarantine()
    if before is not None:
        ledger.newly_quarantined = sum(mark_of(row) not in before for row in ledger.quarantined)
    reasons = reasons_of(checked.quarantined)
    verdict = judge_quarantine(len(checked.quarantined), checked.rows, guard.percent, guard.floor, reasons)
    _refuse_held(run, ledger, (verdict,))
    return checked


def _unnamed(row: Quarantined) -> Quarantined:
    return replace(row, uid=None, raw_uid="", detail="this user was forgotten")


def _limits(run: Run) -> SourceLimits:
    guards = run.settings.guards
    return SourceLimits(
        guards.min_rows,
        guards.max_shrink_percent,
        guards.sentinels,
        run.options.expect_rows,
        (guards.max_emptied.percent, guards.max_emptied.floor),
        (guards.max_changed.percent, guards.max_changed.floor),
    )


def _sketch(run: Run, mapping: Mapping, sample: pa.Table, users: int) -> Sketch:
    # Another version may read the same cell otherwise: that is no change of the export.
    made_by = fingerprint(mapping.words, __version__)
    return sketch_of(sample, users, made_by, secret=run.state.salt(), forgotten=run.state.forgotten)


def _checksum(run: Run, export: Export) -> tuple[GuardVerdict, ...]:
    """Judge the export by the file that stands beside it, where one does."""
    source = run.settings.source
    if source.is_database or source.location == "-":
        return ()
    file = Path(f"{source.location}.sha256")
    if not file.exists():
        return ()
    try:
        lines = file.read_text("utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    found = _CHECKSUM.fullmatch(lines[0]) if len(lines) == 1 else None
    return (judge_checksum(export.sha256, found[1].lower() if found else None, str(file)),)


def _part_notes(source: SourceCounts, part: View, kept: Watermark | None) -> list[str]:
    if part.why:
        return [f"all of the source was read although --since asks for a part: {part.why}"]
    if kept is None or part.since is None:
        return []
    return [
        f"only rows with {source.part} were read, and the users of those rows looked at; who left the source, and what "
        f"moved in CometChat alone, shows where all is read, as last in run {kept.full_run}"
    ]


def _age_note(age_s: float) -> list[str]:
    if age_s < _STALE_S:
        return []
    days = int(age_s // _STALE_S)
    return [f"the export is {days} day{'s' if days > 1 else ''} old; was it written anew?"]


def _column_note(columns: tuple[str, ...], good: tuple[Baseline, ...]) -> list[str]:
    before = good[0].columns if good else ()
    gone, new = sorted({*before} - {*columns}), sorted({*columns} - {*before})
    if not before or not (gone or new):
        return []
    words = [f"{what}: {', '.join(names[:5])}" for what, names in (("gone", gone), ("new", new)) if names]
    return [f"the source has other columns than in run {good[0].run_id}; {'; '.join(words)}"]


def _refuse_held(run: Run, ledger: Ledger, verdicts: tuple[GuardVerdict, ...]) -> None:
    held = [verdict for verdict in verdicts if verdict.is_held]
    words = "; ".join(f"{verdict.guard}: {verdict.because}" for verdict in held)
    if not run.options.accept_source:
        ledger.guards += verdicts
        if held:
            raise SourceError(
                f"the source is not believed: {words}",
                hint="look at what wrote it; when it is right: --accept-source, once",
            )
        return
    ledger.guards += tuple(_accepted(verdict) for verdict in verdicts)
    if held:
        log.warning("source.accepted", guards=[verdict.guard for verdict in held])
        ledger.notes.append(f"accepted by --accept-source: {words}")


def _accepted(verdict: GuardVerdict) -> GuardVerdict:
    if not verdict.is_held:
        return verdict
    return msgspec.structs.replace(verdict, verdict="released", release="")

"""What every plan has: its header, the bases of its guards, and the file that it is written to."""

from collections.abc import Iterable, Iterator, Mapping

from reconcile.core.forecast import action_counts, forecast
from reconcile.core.guards import Bases, GuardClass, GuardVerdict
from reconcile.core.left import private_words
from reconcile.core.metadata import Private, managed_metadata
from reconcile.core.plan import Change, Forecast, PlanHeader, PlanSource
from reconcile.ledger import Ledger
from reconcile.progress import Tick
from reconcile.run import Run
from reconcile.store.planfile import PlanFile, write_plan

__all__ = ["ask_roles", "caution_metadata", "foretell", "header_of", "last_bases", "seal"]


def ask_roles(run: Run) -> frozenset[str]:
    """Ask for the roles: proves the key and its scope, and learns the rates, before anything is written."""
    return run.directory(()).roles()


def header_of(
    run: Run, counts: Mapping[GuardClass, int], verdicts: tuple[GuardVerdict, ...], source: PlanSource
) -> PlanHeader:
    """Give the header of a plan of this run; what depends on the way to it is to be added."""
    held = frozenset(GuardClass(verdict.guard) for verdict in verdicts if verdict.is_held)
    return PlanHeader(
        run_id=run.id,
        app_id=run.settings.cometchat.app_id,
        host=run.settings.cometchat.host,
        created_at=run.world.now().isoformat(timespec="seconds"),
        fields=(),
        visible=(),
        settings=run.settings.digests(),
        declared={},
        source=source,
        counts=action_counts(counts, held),
        guards=verdicts,
        forecast=foretell(run, verdicts),
    )


def foretell(run: Run, verdicts: Iterable[GuardVerdict]) -> Forecast:
    """Say what carrying out the classes that are not held will cost, at the rates that are known now."""
    due = {GuardClass(verdict.guard): verdict.measured for verdict in verdicts if not verdict.is_held}
    return forecast(due, run.expected_rates(), run.expected_limits(), run.rate_note())


def seal(run: Run, ledger: Ledger, header: PlanHeader, changes: Iterable[Change]) -> PlanFile:
    """Write the plan, and enter it. Raises: StateError; AssertionError where it has not what the guards counted."""
    counted = {verdict.guard: verdict.measured for verdict in header.guards}
    due = sum(number for name, number in header.counts.items() if name != "held")
    with run.progress.stage("plan", due, "changes") as tick:
        written = write_plan(run.folder.plan, header, _told(changes, tick))
    if any(written[kind] != counted[kind] for kind in GuardClass):
        raise AssertionError(f"the plan has {dict(written)} changes where {counted} were counted")
    made = PlanFile(run.folder.plan)
    ledger.note_plan(made)
    caution_metadata(run, ledger, made)
    return made


def caution_metadata(run: Run, ledger: Ledger, made: PlanFile) -> None:
    """Say what the plan may do to metadata that CometChat does not show, where that is not known to be safe."""
    writes = made.header.counts["update"] and managed_metadata(made.header.fields)
    if not writes or run.private() is Private.SHOWN:
        return
    words = private_words(
        run.private(), made.metadata_updates(), overwrites=run.settings.policy.overwrite_hidden_metadata
    )
    if words:
        ledger.metadata_caution = words
        ledger.notes.append(words)


def _told(changes: Iterable[Change], tick: Tick) -> Iterator[Change]:
    for change in changes:
        yield change
        tick(1)


def last_bases(run: Run) -> Bases:
    """Give what the percentages of the guards were of in the last full run; nothing where there was none."""
    last = run.state.baseline()
    return last.bases if last and last.bases else Bases(None, None, None, None)

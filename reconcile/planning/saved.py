"""A plan that was made before: whether it may be carried out, and how a run takes it up."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from reconcile.core.plan import Action, Change, PlanHeader
from reconcile.core.report import SourceCounts
from reconcile.core.review import refusals, release
from reconcile.core.vetting import Rules, vetted
from reconcile.errors import PlanError, SettingsError
from reconcile.ledger import Ledger
from reconcile.planning.known import recall_known
from reconcile.planning.sealing import ask_roles, caution_metadata, foretell
from reconcile.planning.windows import judged_again
from reconcile.run import Run
from reconcile.scope import take_over_users
from reconcile.settings import MAPPABLE, seconds_of
from reconcile.store.artifacts import RunFolder
from reconcile.store.planfile import PlanFile, write_plan
from reconcile.trust import see_trusted

__all__ = ["adopt_plan", "may_adopt", "take_up"]


def may_adopt(run: Run, saved: PlanFile) -> PlanHeader:
    """Give the header that a saved plan goes on with. Raises: PlanError, SettingsError."""
    app, age = run.settings.cometchat, run.options.max_age or run.settings.policy.plan_max_age
    refused = partial(
        refusals,
        saved.header,
        app=(app.app_id, app.host),
        settings=run.settings.digests(),
        now=run.world.now(),
        oldest=(seconds_of(age), age),
    )
    reasons = refused(accepts_age=run.options.accept_age)
    if reasons:
        waiver = (
            ""
            if refused(accepts_age=True)
            else f"; or, as it is: reconcile apply {_named(run, saved)} --accept-age"
        )
        raise PlanError(
            f"the plan of run {saved.header.run_id} is refused: {'; '.join(reasons)}",
            hint=f"make a new one: reconcile plan{waiver}",
        )
    return _released(run, saved.header)


def _released(run: Run, header: PlanHeader) -> PlanHeader:
    try:
        return release(header, run.options.release)
    except ValueError as error:
        raise SettingsError(f"--release: {error}", hint="--release CLASS=N") from None


def _named(run: Run, saved: PlanFile) -> str:
    """Give what a person calls a plan: the run that has it, or else its path."""
    run_id = saved.path.parent.name
    is_there = RunFolder(run.settings.run_dir, run_id).plan.absolute() == saved.path.absolute()
    return run_id if is_there else str(saved.path)


def adopt_plan(run: Run, ledger: Ledger, path: Path) -> PlanFile:
    """
    Make a saved plan the plan of this run, judged again by what was written since.

    Raises: PlanError, SettingsError, StateError where it does not belong here.
    """
    see_trusted(path)
    saved = PlanFile(path)
    # Before the first request; `write_plan` checks the changes as they go by.
    may_adopt(run, saved)
    header = _released(run, judged_again(run, saved))
    ask_roles(run)
    if header.held != saved.header.held:
        # More or less of it is carried out than was foretold.
        header = msgspec.structs.replace(header, forecast=foretell(run, header.guards))
    take_over_users(run, path)
    write_plan(run.folder.plan, header, _vetted(run, saved))
    return _entered(run, ledger)


def take_up(run: Run, ledger: Ledger) -> PlanFile:
    """
    Open the sealed plan of a run that goes on, and enter what it knows of its source.

    Raises: PlanError where the file is not whole, or has what may not be carried out; StateError.
    """
    see_trusted(run.folder.plan)
    own = PlanFile(run.folder.plan)
    deque(_vetted(run, own), maxlen=0)
    return _entered(run, ledger)


def _vetted(run: Run, made: PlanFile) -> Iterator[Change]:
    """Give the changes of a plan, each once it was checked. Raises: PlanError where one may not be carried out."""
    try:
        yield from vetted(made.header, made.changes(), _rules(run, made.header))
    except ValueError as error:
        raise PlanError(f"{made.path} is refused: {error}", hint="make a new one: reconcile plan") from None


def _rules(run: Run, header: PlanHeader) -> Rules:
    """Say what today's settings allow a plan to do; one that takes a run back may undo whatever that run wrote."""
    settings, policy = run.settings, run.settings.policy.for_plan
    mapped = frozenset(settings.fields.columns) | (
        frozenset() if settings.fields.is_given else frozenset(MAPPABLE)
    )
    actions = {Action.CREATE, Action.UPDATE}
    actions |= {Action.REACTIVATE} if policy.reactivate or header.undoes else set()
    actions |= {Action.DEACTIVATE} if policy.deactivate_unmanaged or header.undoes else set()
    return Rules(
        protect=settings.policy.protect,
        protect_roles=frozenset(settings.policy.protected_roles),
        actions=frozenset(actions - {Action.CREATE} if header.undoes else actions),
        managed=None if header.undoes else mapped,
        touched=run.state.wrote_to(header.undoes) if header.undoes else None,
        forgotten=run.state.forgotten,
    )


def _entered(run: Run, ledger: Ledger) -> PlanFile:
    own = PlanFile(run.folder.plan)
    source = own.header.source
    ledger.source = SourceCounts(
        location=source.location,
        sha256=source.sha256,
        as_of=source.as_of,
        since=source.since,
        changed_by=None if source.since is None else run.settings.source.since.column,
    )
    ledger.note_plan(own)
    caution_metadata(run, ledger, own)
    recall_known(run, ledger, own.header.run_id)
    return own

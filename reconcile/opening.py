"""A run from its settings on: what it needs is checked, it is opened, and whoever is to know is told how it went."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reconcile.age import see_young
from reconcile.errors import SettingsError
from reconcile.notify import Told, telling
from reconcile.objections import require_app, require_since, require_source
from reconcile.progress import Progress
from reconcile.run import Options, Run, Stage, Step, World, open_run
from reconcile.settings import Settings
from reconcile.store.state import RunRow

__all__ = ["opened"]


@contextmanager
def opened(
    command: str,
    settings: Settings,
    options: Options,
    world: World,
    progress: Progress,
    stage: Stage,
    *,
    note: Callable[[str], None],
    again: RunRow | None = None,
) -> Iterator[tuple[Run, Told]]:
    """
    Open a run at this stage, or where `again` left off, for the length of the block, which fills in the report.

    `note` gets a line for people where somebody could not be told.
    Raises: SettingsError, PlanError, RunLocked, StateError; who is to know is told of that, too.
    """
    with telling(command, settings, world, note) as told:
        reads = again is None and stage.step in {Step.PLANNING, Step.RETRYING}
        problems = require_app(settings) + (require_source(settings) if reads else [])
        if again is None:
            expects_rows = options.expect_rows is not None
            problems += require_since(settings, options.since, reads=reads, expects_rows=expects_rows)
        if problems:
            raise SettingsError(problems)
        if again is not None:
            see_young(settings, options, world, again)
        with open_run(command, settings, options, world, progress, stage, again=again) as run:
            told.run_id = run.id
            yield run, told

"""How old the work of a run is: what is too old is not resumed, because the directory has moved on since."""

from datetime import UTC, datetime
from pathlib import Path

from reconcile.core.review import age_words
from reconcile.errors import PlanError
from reconcile.run import Options, Stage, Step, World
from reconcile.settings import Settings, seconds_of
from reconcile.store.artifacts import RunFolder
from reconcile.store.planfile import PlanFile
from reconcile.store.state import RunRow, StateReader

__all__ = ["see_young"]


def see_young(settings: Settings, options: Options, world: World, row: RunRow) -> None:
    """
    See that an unfinished run may go on: its last write, or else its plan, is no older than `policy.plan_max_age`.

    Raises: PlanError; the run stays as it is.
    """
    oldest = options.max_age or settings.policy.plan_max_age
    limit = seconds_of(oldest)
    if limit is None or options.accept_age:
        return
    what, then = _last_sign(settings, row)
    if then is None:
        return
    age_s = (world.now() - then).total_seconds()
    # What lies in the future by as much was written by a wrong clock: nobody knows its age.
    if abs(age_s) > limit:
        raise PlanError(
            f"run {row.run_id} is too old to be resumed: {what} {age_words(age_s)}, on {then:%Y-%m-%d}, and "
            f"policy.plan_max_age is {oldest}",
            hint=f"start anew: reconcile apply; or go on with it all the same: reconcile resume {row.run_id} --accept-age",
        )


def _last_sign(settings: Settings, row: RunRow) -> tuple[str, datetime | None]:
    """Give what dates a run, and its time; None where it has no plan so far, and makes a new one."""
    state = StateReader(settings.run_dir / "state.sqlite")
    if state.intents(row.run_id):
        at = state.last_write(row.run_id)
        noted = row.finished_at or row.started_at  # by a version that dated no write
        return "its last write was", datetime.fromtimestamp(at, UTC) if at else datetime.fromisoformat(noted)
    stage = Stage.read(row.state)
    plan = RunFolder(settings.run_dir, row.run_id).plan
    if not plan.exists() and stage.step is Step.ADOPTING:
        plan = Path(stage.target)
    try:
        return "its plan was made", datetime.fromisoformat(PlanFile(plan).header.created_at)
    except PlanError:
        return "", None

"""
The ways to a plan: from the source, from the source for a few users again, from a plan that was reviewed, and
back from what a run wrote.

Each ends with a sealed plan file in the run's folder; nothing is sent but reads.
"""

from pathlib import Path

from reconcile.errors import SettingsError
from reconcile.planning.back import plan_undo
from reconcile.planning.from_source import DECLARED, make_plan, plan_retry, read_source, what_is_new
from reconcile.planning.saved import adopt_plan, may_adopt, take_up
from reconcile.planning.windows import keep_uncounted
from reconcile.run import Run, Step
from reconcile.store.planfile import PlanFile
from reconcile.trust import see_trusted

__all__ = [
    "DECLARED",
    "adopt_plan",
    "check_target",
    "keep_uncounted",
    "make_plan",
    "plan_retry",
    "plan_undo",
    "read_source",
    "take_up",
    "what_is_new",
]


def check_target(run: Run) -> None:
    """Look whether what this run is about exists, and belongs here. Raises: PlanError, SettingsError."""
    match run.reached.step:
        case Step.UNDOING | Step.RETRYING:
            if not run.state.knows(run.reached.target):
                raise SettingsError(
                    f"there was no run {run.reached.target}", hint="reconcile runs lists what there is"
                )
        case Step.ADOPTING:
            see_trusted(Path(run.reached.target))
            may_adopt(run, PlanFile(Path(run.reached.target)))
        case _:
            pass

"""`reconcile apply`: plan and apply in one go, or apply a saved plan."""

from typing import Any

import click

from reconcile.cli.completing import run_ids
from reconcile.cli.confirm import confirmation
from reconcile.cli.options import (
    accept_age_option,
    configured,
    output_options,
    partition_options,
    release_option,
    release_pairs,
    run_options,
    see_released_early,
    settings_options,
    since_option,
)

__all__ = ["command"]


@click.command("apply")
@click.argument("run_id", metavar="[RUN]", required=False, shell_complete=run_ids())
@settings_options
@run_options
@partition_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where there is no terminal.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N changes: a canary.")
@click.option("--accept-mapping", is_flag=True, help="Apply a changed mapping, query or policy without a review.")
@since_option
@accept_age_option
@release_option
@output_options
def command(*, run_id: str | None, yes: bool, limit: int | None, release: tuple[str, ...], **given: Any) -> int:
    """Make the changes: plan and apply in one go, or exactly the plan of RUN (a run's id, or a path).

    Every change is looked at once more right before it is sent. What a guard holds is left, and said.
    """
    released = release_pairs(release)
    settings = configured(**given)
    from reconcile import pipeline  # noqa: PLC0415 - keeps --help light
    from reconcile.cli.running import run_and_tell  # noqa: PLC0415
    from reconcile.run import Options, Stage, Step  # noqa: PLC0415

    confirm = confirmation(yes=yes)
    if not run_id:
        see_released_early(settings, released)
    options = Options(
        limit=limit,
        release=released,
        accept_source=given.pop("accept_source"),
        accept_mapping=given.pop("accept_mapping"),
        expect_rows=given.pop("expect_rows"),
        require_state=given.pop("require_state"),
        since=given.pop("since"),
        redact=given.pop("redact"),
        yes=yes,
        accept_age=given.pop("accept_age"),
    )
    stage = Stage(Step.PLANNING)
    if run_id is not None:
        stage = Stage(Step.ADOPTING, str(pipeline.plan_path(settings.run_dir, run_id)))
    return run_and_tell(
        "apply",
        settings,
        options,
        lambda run: pipeline.apply(run, confirm),
        stage=stage,
        given=given,
    )

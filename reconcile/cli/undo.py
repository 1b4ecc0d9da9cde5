"""`reconcile undo`: take back what a run wrote."""

from typing import Any

import click

from reconcile.cli.completing import run_ids
from reconcile.cli.confirm import confirmation
from reconcile.cli.options import configured, output_options, redact_option, settings_options

__all__ = ["command"]

_WROTE = "command <> 'plan' AND (writes > 0 OR finished_at IS NULL)"


@click.command("undo")
@click.argument("run_id", metavar="RUN", shell_complete=run_ids(_WROTE))
@settings_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where there is no terminal.")
@redact_option
@output_options
def command(*, run_id: str, yes: bool, redact: bool, **given: Any) -> int:
    """Put back what RUN wrote, field by field, where the directory still holds it.

    Users that RUN created end deactivated, and those that it switched off are switched on. What somebody else
    changed since is left, and said. The guards judge as ever; afterwards `apply` in one go waits until a plan
    was reviewed.
    """
    settings = configured(**given)
    from reconcile import pipeline  # noqa: PLC0415 - keeps --help light
    from reconcile.cli.running import run_and_tell  # noqa: PLC0415
    from reconcile.run import Options, Stage, Step  # noqa: PLC0415

    confirm = confirmation(yes=yes)
    return run_and_tell(
        "undo",
        settings,
        Options(redact=redact, yes=yes),
        lambda run: pipeline.apply(run, confirm),
        stage=Stage(Step.UNDOING, run_id),
        given=given,
    )

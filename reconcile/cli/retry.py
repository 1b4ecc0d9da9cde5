"""`reconcile retry`: once more for the users that a run did not bring in step."""

from typing import Any

import click

from reconcile.cli.completing import run_ids
from reconcile.cli.confirm import confirmation
from reconcile.cli.options import configured, output_options, run_options, settings_options

__all__ = ["command"]


@click.command("retry")
@click.argument("run_id", metavar="RUN", shell_complete=run_ids("command <> 'plan'"))
@settings_options
@run_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where there is no terminal.")
@output_options
def command(*, run_id: str, yes: bool, **given: Any) -> int:
    """Plan and apply again for the users of RUN that were rejected, skipped or failed, or that it knew to differ.

    The source is read again, and only those users are looked at; the guards judge as ever.
    """
    settings = configured(**given)
    from reconcile import pipeline  # noqa: PLC0415 - keeps --help light
    from reconcile.cli.running import run_and_tell  # noqa: PLC0415
    from reconcile.run import Options, Stage, Step  # noqa: PLC0415

    confirm = confirmation(yes=yes)
    options = Options(
        accept_source=given.pop("accept_source"),
        expect_rows=given.pop("expect_rows"),
        require_state=given.pop("require_state"),
        redact=given.pop("redact"),
        yes=yes,
    )
    return run_and_tell(
        "retry",
        settings,
        options,
        lambda run: pipeline.apply(run, confirm),
        stage=Stage(Step.RETRYING, run_id),
        given=given,
    )

"""`reconcile plan`: the dry run."""

from typing import Any

import click

from reconcile.cli.options import configured, output_options, run_options, settings_options

__all__ = ["command"]


@click.command("plan")
@settings_options
@run_options
@click.option("--check", is_flag=True, help="Exit 3 when there is a change in the plan.")
@output_options
def command(
    *, check: bool, accept_source: bool, expect_rows: int | None, require_state: bool, **given: Any
) -> int:
    """Say what would change, and write nothing to CometChat.

    Reads the export, fetches the directory, compares, lets the guards judge, and writes plan and report.
    """
    settings = configured(**given)
    from reconcile import pipeline  # noqa: PLC0415 - keeps --help light
    from reconcile.cli.running import run_and_tell  # noqa: PLC0415
    from reconcile.run import Options  # noqa: PLC0415

    options = Options(
        check=check, accept_source=accept_source, expect_rows=expect_rows, require_state=require_state
    )
    return run_and_tell(
        "plan",
        settings,
        options,
        pipeline.plan,
        given=given,
    )

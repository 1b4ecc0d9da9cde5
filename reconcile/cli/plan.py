"""`reconcile plan`: the dry run."""

from typing import Any

import click

from reconcile.cli.options import (
    configured,
    output_options,
    partition_options,
    release_option,
    release_pairs,
    run_options,
    see_released_early,
    settings_options,
    show_option,
    since_option,
)

__all__ = ["command"]


@click.command("plan")
@settings_options
@run_options
@partition_options
@click.option("--check", is_flag=True, help="Exit 3 when there is a change in the plan.")
@since_option
@release_option
@show_option
@output_options
def command(*, check: bool, release: tuple[str, ...], **given: Any) -> int:
    """Say what would change, and write nothing to CometChat.

    Reads the export, fetches the directory, compares, lets the guards judge, and writes plan and report.
    """
    released = release_pairs(release)
    settings = configured(**given)
    see_released_early(settings, released)
    from reconcile import pipeline  # noqa: PLC0415 - keeps --help light
    from reconcile.cli.running import run_and_tell  # noqa: PLC0415
    from reconcile.run import Options  # noqa: PLC0415

    options = Options(
        check=check,
        release=released,
        accept_source=given.pop("accept_source"),
        expect_rows=given.pop("expect_rows"),
        require_state=given.pop("require_state"),
        since=given.pop("since"),
        redact=given.pop("redact"),
    )
    return run_and_tell(
        "plan",
        settings,
        options,
        pipeline.plan,
        given=given,
    )

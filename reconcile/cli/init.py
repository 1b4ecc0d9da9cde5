"""`reconcile init`: write a commented settings file for an export."""

from pathlib import Path
from typing import Any

import click

from reconcile.cli.ending import say

__all__ = ["command"]


@click.command("init")
@click.option("--source", default="users.csv", show_default=True, metavar="FILE|URL", help="The export to read.")
@click.option("--query", metavar="SQL", help="What to select, where the source is a database.")
@click.option("--app-id", default="", metavar="ID", help="The app's id.")
@click.option(
    "--region", type=click.Choice(["us", "eu", "in"]), default="us", show_default=True, help="Where the app is."
)
@click.option(
    "--output",
    "-o",
    default="reconcile.toml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where to write it.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(*, source: str, query: str | None, app_id: str, region: str, output: Path, force: bool) -> int:
    """Write a commented reconcile.toml, with the columns of the export where it can be read."""
    from reconcile.errors import SettingsError  # noqa: PLC0415 - keeps --help light
    from reconcile.logs import safe  # noqa: PLC0415
    from reconcile.scaffold import propose, scaffold  # noqa: PLC0415
    from reconcile.settings import Source  # noqa: PLC0415
    from reconcile.store.artifacts import replacing  # noqa: PLC0415

    if output.exists() and not force:
        raise SettingsError(f"{output} is there already", hint="another --output, or --force to write over it")
    wanted = Source(location=source, query=query or "")
    columns, problem = _columns(wanted)
    text = scaffold(wanted, app_id, region, propose(columns), columns)
    with replacing(output) as file:
        file.write(text.encode())
    say(f"Wrote {safe(output, 500)}.")
    if problem:
        say(f"The export could not be read ({safe(problem, 500)}), so the mapping in it is an example.")
    say("Next: look through it, export COMETCHAT_API_KEY=..., then: reconcile doctor; reconcile plan")
    return 0


def _columns(source: Any) -> tuple[tuple[str, ...], str]:
    """Give the columns of the export, or why they are not known."""
    from reconcile.errors import ReconcileError  # noqa: PLC0415
    from reconcile.sources import read_columns  # noqa: PLC0415

    try:
        return read_columns(source), ""
    except ReconcileError as error:
        return (), error.message

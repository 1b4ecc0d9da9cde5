"""`reconcile init`: propose a mapping for an export, and write a commented settings file."""

import sys
from pathlib import Path
from typing import Any

import click

from reconcile.cli.completing import files
from reconcile.cli.ending import is_plain, say

__all__ = ["command"]


@click.command("init")
@click.option(
    "--source", metavar="FILE|URL", shell_complete=files, help="The export to look at [default: users.csv]."
)
@click.option("--query", default="", metavar="SQL", help="What to select, where the source is a database.")
@click.option("--table", default="", metavar="NAME", help="Or the table to read.")
@click.option(
    "--delimiter", default="", metavar="CHAR", help="What stands between cells, where the header does not show it."
)
@click.option("--encoding", default="", metavar="NAME", help="The encoding, where it is neither UTF-8 nor marked.")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Map a column, whatever is proposed, e.g. role=plan.",
)
@click.option("--app-id", metavar="ID", help="The app's id [default: COMETCHAT_APP_ID].")
@click.option(
    "--region", type=click.Choice(["us", "eu", "in"]), help="Where the app is [default: COMETCHAT_REGION, or us]."
)
@click.option(
    "--output", "-o", default="reconcile.toml", show_default=True, metavar="FILE", help="Where to write it."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask on a terminal; take what is proposed.")
@click.option("--no-examples", is_flag=True, help="No values of the first rows in the file.")
def command(*, output: str, force: bool, yes: bool, **given: Any) -> int:
    """Look at an export, propose how its columns map to CometChat's fields, and write a commented reconcile.toml.

    On a terminal it asks; without one, or with --yes, it takes what it proposes and what the flags say. Reads a few rows
    of the export, read-only, and nothing of CometChat. A role is never mapped unless you say so.
    """
    from reconcile.config import environment  # noqa: PLC0415 - keeps --help light
    from reconcile.errors import SettingsError  # noqa: PLC0415
    from reconcile.logs import configure, safe  # noqa: PLC0415
    from reconcile.scaffold import Wanted, begin, scaffold, settle  # noqa: PLC0415
    from reconcile.store.artifacts import replacing  # noqa: PLC0415

    configure(form="console", level="error", plain=is_plain())
    path, environ = Path(output), environment()
    if path.exists() and not force:
        raise SettingsError(f"{output} is there already", hint="another --output, or --force to write over it")
    wanted = Wanted(location=given.pop("source"), shows_examples=not given.pop("no_examples"), **given)
    asks = not yes and sys.stdin is not None and sys.stdin.isatty()
    if asks:
        from reconcile.cli import asking  # noqa: PLC0415 - only where there is somebody to ask

        draft = asking.complete(begin(asking.about_the_source(wanted, environ), environ), wanted)
    else:
        draft = begin(wanted, environ)
    draft, variable = settle(draft, environ, path)
    with replacing(path) as file:
        file.write(scaffold(draft).encode())
    say(f"Wrote {safe(output, 500)}.")
    for words in _told(draft):
        say(words)
    if variable:
        say(f"The URL holds a password, which stands in no file. Before the next command: export {variable}='...'")
    config = "" if output == "reconcile.toml" else f" --config {safe(output, 500)}"
    say(f"Next: look through it, then: COMETCHAT_API_KEY=... reconcile plan{config}")
    return 0


def _told(draft: Any) -> list[str]:
    """Say what was proposed, and what a person has to know."""
    from reconcile.logs import safe  # noqa: PLC0415 - as above
    from reconcile.settings import rule_of  # noqa: PLC0415

    if draft.sample is None:
        return ["There is no users.csv here, so the mapping in it is an example."]
    width = max(map(len, draft.columns), default=0)
    lines = [
        f"  {safe(name):<{width}}  {safe(rule_of(name, column), 200)}" for name, column in draft.columns.items()
    ]
    lines += [f"Look: {safe(note, 400)}" for note in draft.proposal.notes]
    if draft.proposal.role and "role" not in draft.columns:
        words = f'"{safe(draft.proposal.role)}" looks like a role. A role decides what a user may do, so it is mapped by hand'
        lines.append(f"{words}: --map role={safe(draft.proposal.role)}")
    if "role" in draft.columns:
        lines.append(
            "What stands in the role's column is taken for a CometChat role; map under [roles] translates it."
        )
    if not draft.app_id:
        lines.append("The app's id is not known yet: write it into the file, or export COMETCHAT_APP_ID.")
    return lines

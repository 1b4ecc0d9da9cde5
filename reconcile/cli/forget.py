"""`reconcile forget`: erase one user from everything that runs left behind."""

import sys
from typing import Any

import click

from reconcile.cli.ending import say, show
from reconcile.cli.options import configured, output_options, settings_options

__all__ = ["command"]


@click.command("forget")
@click.argument("uid")
@settings_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where there is no terminal.")
@output_options
def command(*, uid: str, yes: bool, **given: Any) -> int:
    """Erase one user from state, plans and reports, for good, and never create that uid again.

    A hashed tombstone stays. The user in CometChat and the row in your export are not touched: delete those first,
    and take the uid out of logs and copies that you keep elsewhere.
    """
    settings = configured(**given)
    import msgspec  # noqa: PLC0415 - keeps --help light

    from reconcile.config import environment  # noqa: PLC0415
    from reconcile.errors import Declined, SettingsError  # noqa: PLC0415
    from reconcile.forget import forget  # noqa: PLC0415
    from reconcile.logs import safe  # noqa: PLC0415
    from reconcile.objections import require_app  # noqa: PLC0415
    from reconcile.run import real_world  # noqa: PLC0415

    problems = require_app(settings)
    if problems:
        raise SettingsError(problems)
    if not yes and not sys.stdin.isatty():
        raise SettingsError("there is no terminal to ask on", hint="reconcile forget UID --yes")
    if not yes and not click.confirm(f"Erase {safe(uid)} from {safe(settings.run_dir, 500)} for good?", err=True):
        raise Declined(
            "declined: nothing was erased", hint="to erase without the question: reconcile forget UID --yes"
        )
    found = forget(settings, real_world(environment()), uid)
    if given["as_json"]:
        show(msgspec.json.format(msgspec.json.encode({"exit_code": 0, **msgspec.structs.asdict(found)})).decode())
    else:
        say(f"Forgotten: {found.rows} rows of the state file, and the files of {len(found.runs)} runs.")
        if found.still_in:
            say(
                f"Take it out of {', '.join(found.still_in)} too: the settings still name it, and the next run notes them."
            )
    return 0

"""`reconcile explain`: one user end to end."""

from typing import Any

import click

from reconcile.cli.ending import say, show
from reconcile.cli.options import configured, output_options, settings_options

__all__ = ["command"]


@click.command("explain")
@click.argument("uid")
@settings_options
@output_options
def command(*, uid: str, **given: Any) -> int:
    """Explain one user: its source row, what the mapping makes of it, its directory record, what a plan would do
    about it and why, and what past runs did. UID may also be the id as the source writes it.
    """
    settings = configured(**given)
    import msgspec  # noqa: PLC0415 - keeps --help light

    from reconcile.config import environment  # noqa: PLC0415
    from reconcile.errors import SettingsError  # noqa: PLC0415
    from reconcile.explain import explain  # noqa: PLC0415
    from reconcile.objections import require_app, require_source  # noqa: PLC0415
    from reconcile.report.explanation import as_document, render_explanation  # noqa: PLC0415
    from reconcile.run import real_world  # noqa: PLC0415

    problems = require_app(settings) + require_source(settings)
    if problems:
        raise SettingsError(problems)
    found = explain(settings, real_world(environment()), uid)
    if given["as_json"]:
        show(msgspec.json.format(msgspec.json.encode(as_document(found)), indent=2).decode())
    else:
        say(render_explanation(found))
    return 0

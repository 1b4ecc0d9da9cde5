"""`reconcile doctor`: is everything ready?"""

from typing import Any

import click

from reconcile.cli.ending import say, show
from reconcile.cli.options import configured, output_options, settings_options

__all__ = ["command"]

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@settings_options
@click.option(
    "--notify", "tells", is_flag=True, help="Send whom [notify] names one test message, and the ping of a success."
)
@output_options
def command(*, tells: bool, **given: Any) -> int:
    """Check settings, source, key and its scope, roles, limits, disk, lock, state and whom [notify] names.

    Reads only, and sends no message unless asked. Ends with the exit code that a run would end with.
    """
    settings = configured(**{**given, "quiet": not given["verbose"]})
    import msgspec  # noqa: PLC0415 - keeps --help light

    from reconcile.checkup import examine  # noqa: PLC0415
    from reconcile.config import environment  # noqa: PLC0415
    from reconcile.logs import safe  # noqa: PLC0415
    from reconcile.run import real_world  # noqa: PLC0415

    findings = []
    for finding in examine(settings, real_world(environment()), tells=tells):
        findings.append(finding)
        if not given["as_json"]:
            mark = click.style(f"{finding.level:<4}", fg=_COLORS[finding.level])
            say(f"{mark}  {finding.what:<9} {safe(finding.words, 400)}")
            if finding.remedy:
                say(f"      {'':<9} {safe(finding.remedy, 400)}")
    code: int = next((finding.code for finding in findings if finding.level == "fail"), 0)
    if given["as_json"]:
        document = {"exit_code": code, "findings": findings}
        show(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    return code

"""`reconcile sandbox`: the look-alike, as a process of its own."""

import json
from pathlib import Path

import click

from reconcile.cli.ending import say

__all__ = ["command"]


@click.command("sandbox")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8055, show_default=True, help="0 takes any free one."
)
@click.option(
    "--users", type=click.Path(path_type=Path), metavar="FILE", help="Users to start with, as JSON lines."
)
@click.option("--app-id", metavar="ID", help="The only app id to accept [default: any].")
@click.option(
    "--profile", metavar="NAME", default="observed", show_default=True, help="How open questions are answered."
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as one line of JSON.")
def command(*, port: int, users: Path | None, app_id: str | None, profile: str, as_json: bool) -> int:
    """Serve a local look-alike of the CometChat API, until Ctrl-C.

    For trying the job out and for your own CI. It takes its key from COMETCHAT_API_KEY, else one that it prints.
    """
    from reconcile.errors import SettingsError  # noqa: PLC0415 - keeps --help light
    from reconcile.sandbox import PROFILES, Address, Options, serve  # noqa: PLC0415

    if profile not in PROFILES:
        raise SettingsError(f"there is no profile {profile}", hint=f"one of {', '.join(PROFILES)}")

    def listening(address: Address) -> None:
        if as_json:
            say(json.dumps({"url": address.url, "api_key": address.api_key, "app_id": address.app_id}))
            return
        say(f"The sandbox listens. In another terminal:\n\n  export COMETCHAT_BASE_URL={address.url}")
        say(f"  export COMETCHAT_APP_ID={address.app_id}\n  export COMETCHAT_API_KEY={address.api_key}\n")

    try:
        serve(Options(port=port, users=users, app_id=app_id, profile=profile), listening)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the sandbox cannot start: {error}", hint="another --port, or check --users"
        ) from error
    return 0

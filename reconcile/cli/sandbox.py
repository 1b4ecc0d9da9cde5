"""`reconcile sandbox`: the look-alike, as a process of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconcile.cli.ending import say

if TYPE_CHECKING:
    from reconcile.sandbox import Address

__all__ = ["command"]

_FILE = click.Path(path_type=Path)


@click.command("sandbox")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8055, show_default=True, help="0 takes any free one."
)
@click.option("--users", type=_FILE, metavar="FILE", help="Users to start with, as JSON lines.")
@click.option("--app-id", metavar="ID", help="The only app id to accept [default: any].")
@click.option(
    "--profile",
    "profile_name",
    metavar="NAME",
    default="observed",
    show_default=True,
    help="How open questions are answered: observed, documented or hostile.",
)
@click.option(
    "--switch", multiple=True, metavar="NAME=VALUE", help="Answer one question in another way; repeatable."
)
@click.option("--list-switches", is_flag=True, help="Print every switch with its values, and serve nothing.")
@click.option("--faults", type=_FILE, metavar="FILE", help="Faults to start with, as a JSON array.")
@click.option("--latency-ms", type=float, default=0.0, metavar="MS", help="Every request waits this long.")
@click.option("--state", type=_FILE, metavar="FILE", help="Read at the start, and kept up to date.")
@click.option("--tls", is_flag=True, help="Serve https, with a certificate made at the start.")
@click.option("--ca-file", type=_FILE, metavar="FILE", help="Where --tls writes the certificate to trust.")
@click.option("--no-log", is_flag=True, help="Count requests, and keep none.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as one line of JSON.")
def command(*, list_switches: bool, as_json: bool, **flags: Any) -> int:
    """Serve a local look-alike of the CometChat API, until Ctrl-C.

    For trying the job out and for your own CI. It takes its key from COMETCHAT_API_KEY, else one that it prints.
    """
    if list_switches:
        from reconcile.sandbox.catalogue import text_table  # noqa: PLC0415 - keeps --help light

        say(text_table().rstrip())
        return 0
    _serve(flags, as_json=as_json)
    return 0


def _serve(flags: dict[str, Any], *, as_json: bool) -> None:
    from reconcile.errors import SettingsError  # noqa: PLC0415 - keeps --help light
    from reconcile.sandbox import serve  # noqa: PLC0415
    from reconcile.sandbox.flags import options_of  # noqa: PLC0415

    try:
        options = options_of(**flags)
    except ValueError as error:
        raise SettingsError(str(error), hint="`reconcile sandbox --list-switches` shows what there is") from error
    try:
        serve(options, lambda address: say(address.as_json() if as_json else _instructions(address)))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the sandbox cannot start: {error}", hint="try another --port, or look at the files that were named"
        ) from error


def _instructions(address: "Address") -> str:
    lines = [
        "The sandbox listens. In another terminal:\n",
        f"  export COMETCHAT_BASE_URL={address.url}",
        f"  export COMETCHAT_APP_ID={address.app_id}",
    ]
    if address.shown_key == address.api_key:
        lines.append(f"  export COMETCHAT_API_KEY={address.api_key}")
    else:
        lines.append("  export COMETCHAT_API_KEY=...    # the one that the sandbox was started with")
    if address.ca_file is not None:
        lines.append(f"  export RECONCILE_COMETCHAT__CA_FILE={address.ca_file}")
    return "\n".join(lines) + "\n"

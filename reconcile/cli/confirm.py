"""The question before anything is written."""

import sys
from collections.abc import Callable
from typing import Any

import click

from reconcile.cli.ending import say

__all__ = ["confirmation"]


def confirmation(*, yes: bool) -> Callable[[Any, int, str], bool]:
    """Give what asks a person. Raises: SettingsError where there is nobody to ask and --yes was not given."""
    from reconcile.errors import SettingsError  # noqa: PLC0415 - keeps --help light

    if yes:
        return lambda _header, _left, _caution: True
    if not sys.stdin.isatty():
        raise SettingsError(
            "there is no terminal to ask on", hint="look at the plan: reconcile plan; then: reconcile apply --yes"
        )
    return _ask


def _ask(header: Any, left: int, caution: str) -> bool:
    """Name the app and the counts of what will be sent, say the caution if there is one, and ask."""
    from reconcile.logs import safe  # noqa: PLC0415 - as above

    counts = header.counts
    words = ", ".join(f"{counts[name]:,} to {name}" for name in ("create", "update", "reactivate", "deactivate"))
    held = f" ({counts['held']:,} of them held)" if counts["held"] else ""
    first = sum(counts.values()) - counts["held"]
    canary = f"a canary of the first {first:,} changes: " if left else ""
    rest = f" The other {left:,} changes are left." if left else ""
    say(
        f"App {safe(header.app_id)} at {safe(header.host)}: {canary}{words}{held}{_foreign(header)}.{rest}",
        err=True,
    )
    if caution:
        say(caution, err=True)
    try:
        return click.confirm("Apply these changes?", err=True)
    except click.Abort:
        # The end of the input is no yes.
        return False


def _foreign(header: Any) -> str:
    """Say that somebody had a reason to switch off users that are now switched on."""
    number = next((guard.measured for guard in header.guards if guard.guard == "reactivate_foreign"), 0)
    return f"; the plan takes back what another hand did to {number:,} users" if number else ""

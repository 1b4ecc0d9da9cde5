"""The question before anything is written."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

__all__ = ["confirmation"]


def confirmation(*, yes: bool) -> Callable[[Any], bool]:
    """Give what asks a person. Raises: SettingsError where there is nobody to ask and --yes was not given."""
    from reconcile.errors import SettingsError  # noqa: PLC0415 - keeps --help light

    if yes:
        return lambda _header: True
    if not sys.stdin.isatty():
        raise SettingsError("there is no terminal to ask on", hint="look at: reconcile plan; then: apply --yes")
    return _ask


def _ask(header: Any) -> bool:
    """Name the app and the counts, and ask."""
    counts = header.counts
    words = ", ".join(f"{counts[name]:,} to {name}" for name in ("create", "update", "reactivate", "deactivate"))
    held = f" ({counts['held']:,} of them held)" if counts["held"] else ""
    with suppress(click.Abort), _signals_wake():
        click.echo(f"App {header.app_id} at {header.host}: {words}{held}.", err=True)
        return click.confirm("Apply these changes?", err=True)
    return False


@contextmanager
def _signals_wake() -> Iterator[None]:
    """Let a signal end the question too: whoever listens to it by itself goes on where it was interrupted."""

    def wake(number: int, frame: Any) -> None:
        before[number](number, frame)
        raise click.Abort

    before: dict[int, Any] = {number: signal.signal(number, wake) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

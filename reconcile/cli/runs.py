"""`reconcile runs`: the past runs."""

from typing import Any

import click

from reconcile.cli.ending import say, show
from reconcile.cli.options import settings_of

__all__ = ["command"]


@click.command("runs")
@click.option("--config", metavar="FILE", help="Settings file [default: reconcile.toml where there is one].")
@click.option("--run-dir", metavar="DIR", help="Where runs and state are kept [default: runs].")
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(*, limit: int, as_json: bool, **given: Any) -> int:
    """List past runs, newest first."""
    settings = settings_of(**given)
    import msgspec  # noqa: PLC0415 - keeps --help light

    from reconcile.logs import safe  # noqa: PLC0415
    from reconcile.store.reader import StateReader  # noqa: PLC0415

    rows = StateReader(settings.run_dir / "state.sqlite").runs(limit)
    if as_json:
        show(msgspec.json.format(msgspec.json.encode({"runs": rows}), indent=2).decode())
        return 0
    if not rows:
        say(f"No runs in {safe(settings.run_dir, 500)}.")
    for row in rows:
        code = "" if row.exit_code is None else str(row.exit_code)
        words = safe(row.headline or "", 300)
        say(f"{safe(row.run_id)}  {row.command:<6} {row.verdict or row.state:<14} {code:>3}  {words}".rstrip())
    return 0

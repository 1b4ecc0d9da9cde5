"""`reconcile runs`: the past runs, and where they are going."""

from typing import Any

import click

from reconcile.cli.ending import columns, say, show
from reconcile.cli.options import settings_of

__all__ = ["command"]


@click.command("runs")
@click.option("--config", metavar="FILE", help="Settings file [default: reconcile.toml where there is one].")
@click.option("--run-dir", metavar="DIR", help="Where runs and state are kept [default: runs].")
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(*, limit: int, as_json: bool, **given: Any) -> int:
    """List past runs, newest first: how each ended, what it found and did, how that moves, and users that flap."""
    settings = settings_of(**given)
    import msgspec  # noqa: PLC0415 - keeps --help light

    from reconcile.logs import safe  # noqa: PLC0415
    from reconcile.report.trend import render_runs  # noqa: PLC0415
    from reconcile.store.reader import StateReader  # noqa: PLC0415

    reader = StateReader(settings.run_dir / "state.sqlite")
    turns, flapping = reader.turns(limit), reader.flapped(limit)
    if as_json:
        document = {"runs": turns, "flapping": flapping}
        show(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    elif not turns:
        say(f"No runs in {safe(settings.run_dir, 500)}.")
    else:
        say(render_runs(turns, flapping, columns()))
    return 0

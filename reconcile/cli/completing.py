"""What a shell completes: run ids from the state file, and the names of files. Light, and silent where it cannot tell."""

import os
import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from reconcile.errors import StateError
from reconcile.trust import see_state

__all__ = ["files", "run_ids"]

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_SHOWN = 50
_WAIT_S = 0.2  # for a state file that is being written: nobody waits longer for a key of the keyboard


def files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows files best."""
    return [CompletionItem(incomplete, type="file")]


def run_ids(which: str = "1") -> Complete:
    """Give what completes the ids of the runs for which a condition of SQL holds, newest first."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        path = _run_dir(ctx.params) / "state.sqlite"
        try:
            see_state(path, acts=False)
        except StateError:
            return []
        sql = (
            "SELECT run_id, command, coalesce(verdict, state), coalesce(headline, '') FROM runs"  # noqa: S608 - ours
            f" WHERE {which} AND substr(run_id, 1, ?) = ? ORDER BY run_id DESC LIMIT {_SHOWN}"
        )
        try:
            with closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)
            ) as state:
                rows = state.execute(sql, (len(incomplete), incomplete)).fetchall()
        except (sqlite3.Error, ValueError):
            return []
        return [CompletionItem(run, help=_words(f"{command}, {end}: {line}")) for run, command, end, line in rows]

    return complete


def _run_dir(params: dict[str, Any]) -> Path:
    """Find the run directory as the settings do, but for a file that cannot be read: then there is nothing to complete."""
    named = params.get("run_dir") or os.environ.get("RECONCILE_RUN__DIR")
    if named:
        return Path(named)
    file = Path(params.get("config") or os.environ.get("RECONCILE_CONFIG") or "reconcile.toml")
    try:
        told = tomllib.loads(file.read_text("utf-8")).get("run", {}).get("dir", "runs")
        return file.parent / str(told)
    except (OSError, ValueError, AttributeError):
        return Path("runs")


def _words(text: str) -> str:
    # Some shells take a line end, a tab or a colon for the end of an item.
    return "".join(char if char.isprintable() else " " for char in text).replace(":", " -")[:80]

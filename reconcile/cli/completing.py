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

from reconcile.errors import ReconcileError
from reconcile.trust import see_state

__all__ = ["files", "run_ids"]

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_SHOWN = 50
# A run that has no number yet was begun by another version since, and a file of an older one has no numbers at all.
_HAS_NUMBERS = "SELECT 1 FROM sqlite_master WHERE name = 'run_numbers'"
_BY_NUMBER = "coalesce((SELECT number FROM run_numbers n WHERE n.run_id = runs.run_id), 1e18) DESC,"
_WAIT_S = 0.2  # for a state file that is being written: nobody waits longer for a key of the keyboard


def files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows files best."""
    return [CompletionItem(incomplete, type="file")]


def run_ids(which: str = "1") -> Complete:
    """Give what completes the ids of the runs for which a condition of SQL holds, newest first."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        path = _run_dir(ctx.params) / "state.sqlite"
        sql = (
            "SELECT run_id, command, coalesce(verdict, state), coalesce(headline, '') FROM runs"  # noqa: S608 - ours
            f" WHERE {which} AND substr(run_id, 1, ?) = ? ORDER BY {{}} run_id DESC LIMIT {_SHOWN}"
        )
        try:
            see_state(path, acts=False)
            rows = _rows(path.absolute(), sql, (len(incomplete), incomplete))
        except (sqlite3.Error, OSError, ValueError, ReconcileError):
            return []
        return [CompletionItem(run, help=_words(f"{command}, {end}: {line}")) for run, command, end, line in rows]

    return complete


def _rows(path: Path, sql: str, values: tuple[int, str]) -> list[tuple[str, ...]]:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)) as state:
            return _asked(state, sql, values)
    except sqlite3.OperationalError as error:
        from reconcile.store.beside import LOCKED, private_copy  # noqa: PLC0415 - beside a run alone

        if LOCKED not in str(error):
            raise
    with closing(private_copy(path)) as state:
        return _asked(state, sql, values)


def _asked(state: sqlite3.Connection, sql: str, values: tuple[int, str]) -> list[tuple[str, ...]]:
    order = _BY_NUMBER if state.execute(_HAS_NUMBERS).fetchone() else ""
    return state.execute(sql.format(order), values).fetchall()


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

"""How a command ends: every error becomes words, a remedy and an exit code."""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from reconcile.errors import ExitCode, ReconcileError, SettingsError

__all__ = ["End", "ending", "say"]


@dataclass(slots=True)
class End:
    """The exit code, once it is known."""

    code: int = 0


def say(text: str, *, err: bool = False) -> None:
    """Print text; colours only where the terminal and its owner want them."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    click.echo(text, err=err, color=False if plain else None)


@contextmanager
def ending(*, as_json: bool) -> Iterator[End]:
    """Turn whatever ends the block into an exit code, with its words on stderr and, asked for, JSON on stdout."""
    end = End()
    try:
        yield end
    except click.UsageError as error:
        where = f"\nsee: {error.ctx.command_path} --help" if error.ctx else ""
        end.code = _tell(((error.format_message(), ""),), ExitCode.USAGE, as_json=as_json, tail=where)
    except click.Abort:
        end.code = _tell((("interrupted", ""),), ExitCode.SIGINT, as_json=as_json)
    except ReconcileError as error:
        problems = error.problems if isinstance(error, SettingsError) else ((error.message, error.hint),)
        end.code = _tell(problems, error.exit_code, as_json=as_json)
    except BrokenPipeError:
        # The reader went away: nothing more can be said on stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception:  # noqa: BLE001 - the last door: a bug is shown whole
        end.code = _tell_bug(as_json=as_json)


def _tell(problems: tuple[tuple[str, str], ...], code: ExitCode, *, as_json: bool, tail: str = "") -> int:
    from reconcile.logs import redact, safe  # noqa: PLC0415 - errors are rare, the log is heavy

    shown = [(safe(redact(what), 800), safe(redact(hint), 800)) for what, hint in problems]
    for what, hint in shown:
        say(click.style("error: ", fg="red", bold=True) + what, err=True)
        if hint:
            say(f"       {hint}", err=True)
    if tail:
        say(tail.strip(), err=True)
    if as_json:
        document = {"exit_code": int(code), "errors": [{"message": what, "hint": hint} for what, hint in shown]}
        say(json.dumps(document, indent=2))
    return int(code)


def _tell_bug(*, as_json: bool) -> int:
    from reconcile.logs import redact  # noqa: PLC0415

    say(redact(traceback.format_exc()), err=True)
    return _tell(
        (("this is a bug in reconcile", "please report it with the lines above"),), ExitCode.BUG, as_json=as_json
    )

"""How a command ends: every error becomes words, a remedy and an exit code."""

import json
import os
import resource
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import click

from reconcile.errors import ExitCode, ReconcileError, SettingsError

__all__ = ["End", "columns", "drop_stdout", "ending", "is_plain", "keep_to_ourselves", "lines", "say", "show"]

_SHORTEST_KEY = 8


@dataclass(slots=True)
class End:
    """The exit code, once it is known."""

    code: int = 0


def say(text: str, *, err: bool = False) -> None:
    """Print words of ours: no secret in them, and nothing that acts on a terminal but our own colours."""
    from reconcile.logs import readable_but_colors, redact  # noqa: PLC0415 - keeps --help light

    shown = readable_but_colors(redact(text))
    # What stderr does not take is lost, as a line of the log is; a result that cannot be told is an error.
    with suppress(OSError) if err else _to_whom_listens():
        click.echo(shown, err=err, color=False if is_plain() else None)


def is_plain() -> bool:
    """Whether somebody asked for no colours, or the terminal knows none. A pipe gets none anyway."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def columns() -> int:
    """Give the width of the terminal, from 40 to 200; where there is none, a hundred."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 40), 200) if sys.stdout.isatty() else 100


def lines() -> int | None:
    """Give the lines of the terminal; None where there is none, and no end of room."""
    return shutil.get_terminal_size((100, 24)).lines if sys.stdout.isatty() else None


def show(document: str) -> None:
    """Print a document: as it is for a program that reads it, escaped where a terminal would act on it."""
    from reconcile.logs import readable, redact  # noqa: PLC0415 - keeps --help light

    clean = redact(document.rstrip("\n"))
    with _to_whom_listens():
        click.echo(readable(clean) if sys.stdout.isatty() else clean)


@contextmanager
def _to_whom_listens() -> Iterator[None]:
    """A reader that went away, as `head` does, has seen enough: that is no failure of ours."""
    try:
        yield
    except BrokenPipeError:
        drop_stdout()


def keep_to_ourselves() -> None:
    """Have a bug that no door catches show no secret either, and a crash of the interpreter leave no memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    threading.excepthook = lambda bug: say("".join(traceback.format_exception(bug.exc_value)), err=True)
    sys.excepthook = lambda _kind, bug, _trace: say("".join(traceback.format_exception(bug)), err=True)


@contextmanager
def ending(*, as_json: bool) -> Iterator[End]:
    """Turn whatever ends the block into an exit code, with its words on stderr and, asked for, JSON on stdout."""
    end = End()
    try:
        yield end
    except click.UsageError as error:
        hint = f"see: {error.ctx.command_path if error.ctx else 'reconcile'} --help"
        end.code = _tell(((error.format_message(), hint),), ExitCode.USAGE, as_json=as_json)
    except click.Abort as error:
        # Ctrl-C at a question is told without a cause; anywhere else it may have met a command that had done something.
        at_question = error.__cause__ is None
        hint = "nothing was done; run it again" if at_question else "see what was done: reconcile runs"
        end.code = _tell((("interrupted", hint),), ExitCode.SIGINT, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the last door: a bug is shown whole
        end.code = _tell_error(error, as_json=as_json)


def drop_stdout() -> None:
    """Say nothing more on stdout: its reader went away, or its disk is full, and at the exit it would be tried again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _tell_error(error: Exception, *, as_json: bool) -> int:
    from reconcile.descriptors import too_few  # noqa: PLC0415 - keeps --help light

    known = too_few(error) or error
    if isinstance(known, SettingsError):
        return _tell(known.problems, known.exit_code, as_json=as_json)
    if isinstance(known, ReconcileError):
        return _tell(((known.message, known.hint),), known.exit_code, as_json=as_json)
    return _tell_bug(as_json=as_json)


def _tell(problems: tuple[tuple[str, str], ...], code: ExitCode, *, as_json: bool) -> int:
    from reconcile.logs import redact, safe  # noqa: PLC0415 - errors are rare, the log is heavy

    # A slip in the flags ends before the settings are read, and with them the key.
    key = os.environ.get("COMETCHAT_API_KEY", "").strip()
    known = key if len(key) >= _SHORTEST_KEY else "\0"
    shown = [(safe(redact(what.replace(known, "***")), 800), safe(redact(hint), 800)) for what, hint in problems]
    for what, hint in shown:
        say(click.style("error: ", fg="red", bold=True) + what, err=True)
        if hint:
            say(f"       {hint}", err=True)
    if as_json:
        document = {"exit_code": int(code), "errors": [{"message": what, "hint": hint} for what, hint in shown]}
        show(json.dumps(document, indent=2))
    return int(code)


def _tell_bug(*, as_json: bool) -> int:
    say(traceback.format_exc(), err=True)
    return _tell(
        (("this is a bug in reconcile", "please report it with the lines above"),), ExitCode.BUG, as_json=as_json
    )

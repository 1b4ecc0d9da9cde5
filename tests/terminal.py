"""A real terminal for tests: a command on it, what it was answered, and what it showed."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Shown", "on_a_terminal"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the terminal got, with its line ends as `\\n`, and the exit code."""

    code: int
    text: str


def on_a_terminal(
    *argv: str,
    answers: Sequence[str] = (),
    columns: int = 100,
    lines: int = 40,
    environ: Mapping[str, str | None] | None = None,
    command: Sequence[str] = (sys.executable, "-m", "reconcile"),
) -> Shown:
    """
    Run `reconcile`, or another command, on a terminal of this size.

    `answers` are typed ahead, a line each. `environ` is set, and a None in it unset; NO_COLOR is unset unless it is named.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    wanted = {**os.environ, "TERM": "xterm", "NO_COLOR": None, "COLUMNS": None, "LINES": None, **(environ or {})}
    process = subprocess.Popen(
        [*command, *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={name: value for name, value in wanted.items() if value is not None},
    )
    os.close(theirs)
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    parts = []
    try:
        while part := os.read(ours, 65_536):
            parts.append(part)
    except OSError:  # The other end was closed.
        pass
    os.close(ours)
    return Shown(process.wait(), b"".join(parts).decode().replace("\r\n", "\n"))

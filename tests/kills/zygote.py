"""
A warm parent of runs: it has imported everything once, and forks a process for each command that it reads.

A fork costs milliseconds where a start costs a second. Each child is a whole `reconcile` with a folder, an
environment and streams of its own; it may be told to die by SIGKILL at its n-th step in the file system.
"""

import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

import reconcile
import reconcile.run
from reconcile.cli import main
from reconcile.run import World

__all__ = ["Order"]

_STEPS = {"open", "os.rename", "os.symlink", "os.remove", "os.mkdir", "sqlite3.connect", "socket.connect"}


class Order(msgspec.Struct, frozen=True):
    """
    One command to run.

    `die_at` is the step at which it kills itself, counted from 1; `trace` a file that takes the count of its
    steps; `file_limit` the most bytes that any file may have; `jump_s` what the wall clock jumps by, all along;
    `hold` a file that it waits for before it begins; `open_files` how many files it may have open at one time.
    """

    argv: list[str]
    cwd: str
    env: dict[str, str]
    out: str
    err: str
    die_at: int = 0
    trace: str = ""
    file_limit: int = 0
    jump_s: int = 0
    hold: str = ""
    open_files: int = 0


def _serve() -> None:
    for module in pkgutil.walk_packages(reconcile.__path__, "reconcile."):
        if not module.name.startswith("reconcile.sandbox") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    _answer("ready")
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line)
        if "wait" in request:
            _answer(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]))
            continue
        order = msgspec.convert(request, Order)
        pid = os.fork()
        if not pid:
            _be(order)
        _answer(pid)


def _answer(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def _be(order: Order) -> None:
    os.chdir(order.cwd)
    os.environ.clear()
    os.environ.update(order.env)
    for number, path in ((0, os.devnull), (1, order.out), (2, order.err)):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags, 0o600), number)
    while order.hold and not Path(order.hold).exists():
        time.sleep(0.002)  # noqa: TID251 - who traces it has to attach first
    sys.argv = ["reconcile", *order.argv]
    if order.jump_s:
        _jump(order.jump_s)
    if order.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit, order.file_limit))
    if order.open_files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (order.open_files, order.open_files))
    steps = [0]
    sys.addaudithook(_counter(order, steps))
    code: Any = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    if order.trace:
        Path(order.trace).write_text(str(steps[0]), "ascii")
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code or 0)


def _counter(order: Order, steps: list[int]) -> Callable[[str, tuple[Any, ...]], None]:
    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STEPS and not (event == "open" and str(arguments[0]).endswith((".py", ".pyc", ".so"))):
            steps[0] += 1
            if steps[0] == order.die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    return note


def _jump(by_s: int) -> None:
    """Have the wall clock jump there and back with every look at it."""
    real = reconcile.run.real_world

    def jumping(environ: Any) -> World:
        world = real(environ)
        looks = [0]

        def now() -> datetime:
            looks[0] += 1
            return world.now() + timedelta(seconds=by_s * (looks[0] % 2))

        return replace(world, now=now)

    reconcile.run.real_world = jumping


if __name__ == "__main__":
    _serve()

"""Start runs as processes, quickly: the near end of the warm parent."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.kills.zygote import Order

__all__ = ["Started", "Warm"]


@dataclass(slots=True)
class Started:
    """A run that is at work, or was."""

    pid: int
    out: Path
    err: Path
    _warm: "Warm"
    began: float
    code: int | None = None
    awaited: bool = False

    def send(self, number: signal.Signals) -> None:
        """Send a signal. It is not waited for here, so the process is there, dead or alive."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the end and give the exit code; minus the signal where one killed it."""
        if self.code is None:
            # A wait that a time-out broke off is still being answered.
            again, self.awaited = self.awaited, True
            self.code = self._warm.hear() if again else self._warm.ask({"wait": self.pid})
        return self.code


class Warm:
    """The warm parent, and the folder for the streams of its children."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._started: list[Started] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert self.hear() == "ready"

    def start(self, cwd: Path, env: dict[str, str], *argv: str, **more: Any) -> Started:
        """Start one command; `more` are the further words of an `Order`."""
        self._number += 1
        out, err = (self._folder / f"{self._number}.{name}" for name in ("out", "err"))
        err.touch()
        order = Order([*argv], str(cwd), env, str(out), str(err), **more)
        started = Started(self.ask(order), out, err, self, time.monotonic())
        self._started.append(started)
        return started

    def clear(self) -> None:
        """Kill what a test that failed has left running."""
        for started in self._started:
            if started.code is None:
                with suppress(ProcessLookupError):
                    started.send(signal.SIGKILL)
                started.wait()
        self._started.clear()

    def ask(self, request: object) -> Any:
        """Send one request and give the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(request) + b"\n")
        self._process.stdin.flush()
        return self.hear()

    def hear(self) -> Any:
        """Give the next answer."""
        assert self._process.stdout is not None
        return msgspec.json.decode(self._process.stdout.readline())

    def stop(self) -> None:
        """End the parent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

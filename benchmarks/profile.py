"""
Where the CPU of a plan goes: `python -m benchmarks.profile [--users N]` prints Markdown. Owns the parts and the table.

The plan is that of `benchmarks.plan`. CPU seconds are those of the process while a part runs, less those of the parts
inside it; what is left of a stage is a row of its own. Needs Linux.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.plan import environment, plan, say, written

# What a row is called, and the function that is the part: module, and name in it.
PARTS = (
    ("read the export", "reconcile.intake", "read_export"),
    ("check every row, bring it into normal form", "reconcile.partitions.arrival", "desire"),
    ("hold the export against its guards", "reconcile.planning.from_source", "believe"),
    ("index the uids of the export", "reconcile.core.diff", "Comparison.__init__"),
    ("first walk: JSON to columns", "reconcile.cometchat.wire", "read_page"),
    ("first walk: find each uid, compare", "reconcile.core.diff", "Comparison.see"),
    ("second walk: the uids of each page", "reconcile.cometchat.wire", "read_news"),
    ("sum up what was found", "reconcile.core.diff", "Comparison.close"),
    ("write the reports", "reconcile.wrapup", "write_reports"),
)
START = "start: the libraries"
REST = {
    "read": "the rest of reading",
    "fetch": "requests, threads, what an answer means",
    "plan": "decide, and write the plan",
}


class Watch:
    """
    Adds up the CPU seconds of what runs under a name, less what runs under others inside it, or beside it in threads:
    of these one computes at a time.
    """

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._inner = threading.local()
        self._beside = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def over(self, name: str) -> Iterator[None]:
        """
        Watch a part.
        """
        outer, self._inner.seconds = getattr(self._inner, "seconds", 0.0), 0.0
        began, beside = process_time(), self._beside
        try:
            yield
        finally:
            took = process_time() - began
            with self._lock:
                if threading.current_thread() is threading.main_thread():
                    self.spent[name] += took - self._inner.seconds - (self._beside - beside)
                else:
                    self.spent[name] += took
                    self._beside += took
            self._inner.seconds = outer + took

    def put_on(self, name: str, module: str, path: str) -> None:
        """
        Watch every call of a function.
        """
        *owners, attribute = path.split(".")
        owner: Any = import_module(module)
        for step in owners:
            owner = getattr(owner, step)
        setattr(owner, attribute, self._watched(name, getattr(owner, attribute)))

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            with self.over(name):
                return function(*args, **named)

        return call


def watch(folder: Path) -> None:
    """
    Plan here, and print the CPU seconds of each part, and of all.
    """
    from reconcile.run import Run  # noqa: PLC0415 - counted

    seen = Watch()
    for part in PARTS:
        seen.put_on(*part)
    stage = Run.stage

    @contextmanager
    def watched(ours: Run, name: str) -> Iterator[None]:
        seen.spent.setdefault(START, process_time())
        with stage(ours, name), seen.over(REST[name]):
            yield

    Run.stage = watched  # type: ignore[method-assign, assignment]
    plan(folder, 0)
    sys.stderr.write(json.dumps([seen.spent, process_time()]) + "\n")


def main() -> None:
    """
    Watch one plan, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--postgresql", action="store_true", help="read the desired state from a server")
    parser.add_argument("--plan", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plan:
        os.chdir(asked.plan)
        watch(Path(asked.plan))
        return
    say(f"{os.cpu_count()} cores, Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f}.\n")
    with written(asked.users, postgresql=asked.postgresql, in_step=False) as folder:
        command = [sys.executable, "-m", "benchmarks.profile", "--plan", str(folder)]
        done = subprocess.run(  # noqa: S603 - ourselves
            command, env=environment(folder), capture_output=True, text=True, check=False
        )
    try:
        spent, cpu = json.loads(done.stderr.splitlines()[-1])
    except (ValueError, IndexError):
        raise SystemExit(done.stderr[-4000:]) from None
    say(f"{asked.users:,} users a side.\n\n| part | CPU s |\n|---|---|")
    for name in (START, *(part[0] for part in PARTS), *REST.values()):
        say(f"| {name} | {spent.get(name, 0.0):.1f} |")
    say(f"| between the stages, and the end | {cpu - sum(spent.values()):.1f} |\n| all | {cpu:.1f} |")


if __name__ == "__main__":
    main()

"""
How soon the command line is there: `python -m benchmarks.startup [--times N]`, from the root of the repository.

Owns the clock and the table. Each command runs many times in a process of its own, by turns with all others, so that
what else the machine does falls on all of them alike; the least of the seconds and of the CPU seconds count. The
byte code is written before. Needs a platform that tells the CPU time of its children.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

BARE = "python -c pass"
COMMANDS = {
    BARE: ["-c", "pass"],
    "import pandas": ["-c", "import pandas"],
    "reconcile --version": ["-m", "reconcile", "--version"],
    "reconcile --help": ["-m", "reconcile", "--help"],
    "reconcile plan --help": ["-m", "reconcile", "plan", "--help"],
    "reconcile runs": ["-m", "reconcile", "runs"],
    "reconcile resume (nothing to finish)": ["-m", "reconcile", "resume"],
}
ROOT = Path(__file__).parent.parent


def once(arguments: list[str], folder: str) -> tuple[float, float]:
    """
    Run a command; give its seconds and its CPU seconds.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    # The repository stands in front of whatever is installed, and byte code is kept.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True
    )
    seconds = perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """
    Measure every command, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    times = parser.parse_args().times
    load = os.getloadavg()[0]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with TemporaryDirectory() as folder:
        for turn in range(times + 1):
            for name, arguments in COMMANDS.items():
                measured = once(arguments, folder)
                # The first turn writes the byte code.
                found[name] += [measured] if turn else []
    least = {name: [min(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    say(
        f"{os.cpu_count()} cores, Python {platform.python_version()}; load average {load:.1f}; the least of {times}.\n"
    )
    say("| command | ms | CPU ms | times bare Python's CPU |")
    say("|---|---|---|---|")
    for name, (seconds, cpu_s) in least.items():
        say(f"| `{name}` | {seconds * 1000:.0f} | {cpu_s * 1000:.0f} | {cpu_s / least[BARE][1]:.1f} |")


def say(text: str) -> None:
    """
    Print at once.
    """
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

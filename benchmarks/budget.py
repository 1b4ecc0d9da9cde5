"""
How much of the rate budget an apply uses: `python -m benchmarks.budget [--changes N] [--share S]` prints Markdown.

Owns the worlds, the clocks and the table. The sandbox is a process of its own on the loopback address that enforces
the documented limits and takes 50 to 300 ms for an answer; the job is another. What was used stands in the sandbox's
own request log. Needs Linux.
"""

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

LIMITS = {"core": 10_000, "standard": 20_000}
LATENCY_MS = (50, 300)
WINDOW_S = 60.0
NEIGHBOUR = "/neighbour"
SETTINGS = """
[source]
location = "users.csv"

[fields]
uid = "uid"
name = "name"

[guards]
create = {{ percent = 100, floor = 1000000 }}
update = {{ percent = 100, floor = 1000000 }}

[limits]
share = {share}

[run]
formats = ["json"]
"""


@dataclass(frozen=True)
class Case:
    """
    One run: what there is to do, against which kind of server window, and who else is using the app.
    """

    name: str
    creates: int
    updates: int
    window: str = "sliding"
    has_neighbour: bool = False


def cases(changes: int) -> list[Case]:
    """
    Give the runs; two creates to one update fill both budgets.
    """
    thirds = round(changes / 3)
    return [
        Case("2 creates : 1 update", changes - thirds, thirds, "sliding"),
        Case("2 creates : 1 update", changes - thirds, thirds, "fixed"),
        Case("creates alone", changes // 2, 0),
        Case("1 create : 4 updates", changes // 8, changes // 2),
        Case("2 : 1, and a neighbour", changes - thirds, thirds, "sliding", has_neighbour=True),
        Case("2 : 1, and a neighbour", changes - thirds, thirds, "fixed", has_neighbour=True),
    ]


@dataclass(frozen=True)
class Use:
    """
    What one group was used for: `times` of the job's requests from the first write to the last, sorted.
    """

    times: list[float]
    limit: int

    def of_each_minute(self) -> list[float]:
        """
        Give the share of the limit that was used in each full minute, from the first write on.
        """
        began, ended = self.times[0], self.times[-1]
        starts = [began + WINDOW_S * n for n in range(int((ended - began) // WINDOW_S))]
        return [self._in_minute(start) / self.limit for start in starts]

    def least(self) -> float:
        """
        Give the least of the limit that any 60 seconds between the first write and the last used.
        """
        # A pause of all is seen only where a window need not begin with a request.
        last = self.times[-1] - WINDOW_S
        return min(
            (self._in_minute(start + 1e-6) / self.limit for start in self.times if start <= last), default=0.0
        )

    def most(self) -> float:
        """
        Give the most of it that any 60 seconds used.
        """
        return max(self._in_minute(start) / self.limit for start in self.times)

    def _in_minute(self, start: float) -> int:
        return bisect_left(self.times, start + WINDOW_S) - bisect_left(self.times, start)


@dataclass(frozen=True)
class Result:
    """
    What a run came to.
    """

    report: dict[str, Any]
    uses: dict[str, Use]
    refusals: int
    cpu_s: float
    requests: int


class Server:
    """
    A sandbox process, and how to ask it.
    """

    def __init__(self, address: dict[str, str]) -> None:
        self._url = urlsplit(address["url"])
        self._key = address["api_key"]
        self.environment = os.environ | {
            "COMETCHAT_BASE_URL": address["url"],
            "COMETCHAT_APP_ID": address["app_id"],
            "COMETCHAT_API_KEY": address["api_key"],
        }

    def ask(self, method: str, path: str, body: str | None = None) -> bytes:
        """
        Send one request on a connection of its own, and give the body of its answer.
        """
        connection = HTTPConnection(self._url.hostname or "", self._url.port, timeout=600)
        connection.request(method, path, body, {"apikey": self._key, "content-type": "application/json"})
        body_of = connection.getresponse().read()
        connection.close()
        return body_of

    def log(self) -> list[dict[str, Any]]:
        """
        Give the job's requests so far.
        """
        entries = (json.loads(line) for line in self.ask("GET", "/_sandbox/log").splitlines())
        return [entry for entry in entries if not entry["path"].endswith(NEIGHBOUR)]


@contextmanager
def serving(folder: Path, window: str) -> Iterator[Server]:
    """
    Run a sandbox with these users.
    """
    low, high = LATENCY_MS
    faults: list[dict[str, Any]] = [{"kind": "latency", "low_ms": low, "high_ms": high}]
    # Each of its requests stands for a burst, of half a second's worth at a third of the limit.
    faults += [
        {"kind": "eat_budget", "path": NEIGHBOUR, "group": group, "requests": limit // 60 // 6}
        for group, limit in LIMITS.items()
    ]
    (folder / "faults.json").write_text(json.dumps(faults), "utf-8")
    command = [sys.executable, "-m", "reconcile.sandbox", "--users", str(folder / "users.jsonl")]
    command += ["--faults", str(folder / "faults.json"), "--switch", f"rate_window={window}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield Server(json.loads(process.stdout.readline()))
        finally:
            process.terminate()


@contextmanager
def neighbour(server: Server, *, comes: bool) -> Iterator[None]:
    """
    Take a varying third of each budget, changing every half minute: none, a third, a sixth, a third, and so on.
    """
    gone = threading.Event()

    def spend() -> None:
        began = monotonic()
        while not gone.wait((0.5, 0.5, 1.0)[int((monotonic() - began) // 30) % 3]):
            if monotonic() - began > 30:
                server.ask("GET", "/v3" + NEIGHBOUR)

    thread = threading.Thread(target=spend)
    if comes:
        thread.start()
    try:
        yield
    finally:
        gone.set()
        if comes:
            thread.join()


def write(folder: Path, case: Case, share: float) -> None:
    """
    Write the export, the directory, and the settings.
    """
    (folder / "reconcile.toml").write_text(SETTINGS.format(share=share), "utf-8")
    with (
        (folder / "users.csv").open("w", encoding="utf-8", newline="") as export,
        (folder / "users.jsonl").open("w", encoding="utf-8") as directory,
    ):
        rows = csv.writer(export)
        rows.writerow(("uid", "name"))
        for n in range(max(case.updates, 1)):
            user = {"uid": f"user-{n:07}", "name": f"User {n}", "createdAt": 1_600_000_000 + n}
            directory.write(json.dumps(user) + "\n")
            rows.writerow((user["uid"], f"User {n}{' anew' if case.updates else ''}"))
        rows.writerows((f"new-{n:07}", f"New {n}") for n in range(case.creates))


def run(case: Case, share: float) -> Result:
    """
    Apply in a process of its own.
    """
    command = [sys.executable, "-m", "reconcile", "apply", "--yes", "--json", "--quiet", "--log-format", "json"]
    with TemporaryDirectory() as place:
        folder = Path(place)
        write(folder, case, share)
        with serving(folder, case.window) as server, neighbour(server, comes=case.has_neighbour):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            environment = server.environment | {
                "XDG_STATE_HOME": str(folder / "state"),
                "PYTHONPATH": str(Path.cwd()),
            }
            done = subprocess.run(  # noqa: S603 - our own command
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            log = server.log()
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(done.stderr[-4000:]) from None
    if report["exit_code"]:
        raise SystemExit(f"apply ended with {report['exit_code']}: {report['headline']}")
    began = next(entry["time"] for entry in log if entry["method"] != "GET")
    uses = {
        group: Use(sorted(e["time"] for e in log if e["group"] == group and e["time"] >= began), limit)
        for group, limit in LIMITS.items()
    }
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Result(report, uses, sum(entry["status"] == 429 for entry in log), cpu_s, len(log))


def main() -> None:
    """
    Measure the cases, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=40_000)
    parser.add_argument("--share", type=float, default=0.8)
    parser.add_argument("--cases", type=int, nargs="*", help="of the table's rows only these, from 0")
    asked = parser.parse_args()
    low, high = LATENCY_MS
    say(
        f"{asked.changes:,} changes where both budgets can be filled, share {asked.share}, answers after {low} to "
    )
    say(f"{high} ms; {os.cpu_count()} cores, Python {platform.python_version()}.\n\n")
    say("Shares are of `share` x limit.\n\n")
    say("| changes | window | seconds | core, each full minute | standard | any 60 s, least: core | standard ")
    say(
        "| most: core | standard | 429 | CPU ms a request | load |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for number, case in enumerate(cases(asked.changes)):
        if asked.cases and number not in asked.cases:
            continue
        result = run(case, asked.share)
        uses = result.uses.values()
        minutes = [", ".join(percent(used, asked.share) for used in use.of_each_minute()) for use in uses]
        least = [percent(use.least(), asked.share) for use in uses]
        most = [percent(use.most(), asked.share) for use in uses]
        say(f"| {case.name} | {case.window} | {result.report['timing']['apply']:.0f} | {' | '.join(minutes)} ")
        say(f"| {' | '.join(least)} | {' | '.join(most)} | {result.refusals} ")
        say(f"| {1000 * result.cpu_s / result.requests:.2f} | {os.getloadavg()[0]:.1f} |\n")


def percent(used: float, share: float) -> str:
    """
    Give a share of the limit as one of what is ours of it.
    """
    return f"{100 * used / share:.1f} %"


def say(text: str) -> None:
    """
    Print at once.
    """
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""
How fast the sandbox is, alone and against the job: `python benchmarks/sandbox.py [--users N]` prints Markdown.

Owns the load, the clock and the tables. The sandbox is a process of its own on the loopback address, with its
log off and its rate limits out of the way; the clients are threads of this one, and then the job as a process of
its own. Reads /proc, so it needs Linux.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

PER_PAGE = 1_000
OUT_OF_THE_WAY = 10**9
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

Ask = tuple[str, str, str | None]  # method, path, body


@dataclass(frozen=True)
class Row:
    """
    One line of the table.
    """

    what: str
    count: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    def __str__(self) -> str:
        cpu_ms = self.cpu_s / self.count * 1_000
        return f"| {self.what} | {self.count:,} | {self.seconds:.1f} | {self.rate:,.0f} | {cpu_ms:.2f} |"


@dataclass(frozen=True)
class Work:
    """
    One stage of the job: what it got done, and how many times faster the sandbox is without it.
    """

    what: str
    count: int
    seconds: float
    job_cpu_s: float
    server_cpu_s: float
    alone_per_s: float

    def __str__(self) -> str:
        rate, times = self.count / self.seconds, self.alone_per_s * self.seconds / self.count
        job_ms, server_ms = self.job_cpu_s / self.count * 1_000, self.server_cpu_s / self.count * 1_000
        return (
            f"| {self.what} | {self.count:,} | {self.seconds:.1f} | {rate:,.0f} | {job_ms:.2f} | {server_ms:.2f} "
            f"| {times:.1f} times as fast |"
        )


class Server:
    """
    A sandbox process: where it is, and what it has cost so far.
    """

    def __init__(self, process: subprocess.Popen[str], address: dict[str, str]) -> None:
        self._process = process
        self._url = urlsplit(address["url"])
        self._key = address["api_key"]
        self.environment = os.environ | {
            "COMETCHAT_BASE_URL": address["url"],
            "COMETCHAT_APP_ID": address["app_id"],
            "COMETCHAT_API_KEY": address["api_key"],
        }

    def connect(self) -> HTTPConnection:
        return HTTPConnection(self._url.hostname or "", self._url.port, timeout=600)

    def ask(self, connection: HTTPConnection, ask: Ask) -> bytes:
        method, path, body = ask
        connection.request(method, path, body, {"apikey": self._key, "content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content

    def cpu_s(self) -> float:
        # The 14th and 15th field are user and system time; the name before them may hold blanks.
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def rss_mib(self) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1_024


def main() -> None:
    """
    Load, list, read and write, and print what each took.
    """
    options = _options()
    say = sys.stdout.write
    users, connections = options.users, options.connections
    say(
        f"{users:,} users, {connections} connections; {os.cpu_count()} cores, Python {platform.python_version()}; "
    )
    say(f"load average {os.getloadavg()[0]:.1f} at the start.\n\n")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "users.jsonl"
        with path.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(_user(n)) + "\n" for n in range(users))
        start = perf_counter()
        with _serving(path) as server:
            loaded_s = perf_counter() - start
            say(
                f"Loaded from JSON lines ({path.stat().st_size / 2**20:,.0f} MiB) in {loaded_s:.1f} s from the start "
            )
            say(f"of the process to the first answer, {server.rss_mib():,.0f} MiB resident.\n\n")
            say("| what | requests | seconds | a second | server CPU, ms each |\n|---|---|---|---|---|\n")
            rows = []
            for row in _rows(server, users, connections, options.requests):
                rows.append(row)
                say(f"{row}\n")
                sys.stdout.flush()
            say("\n| the job against it | count | seconds | a second | its CPU, ms each | server CPU, ms each |")
            say(" the sandbox alone is |\n|---|---|---|---|---|---|---|\n")
            for work in _jobs(server, Path(folder), rows, options):
                say(f"{work}\n")
                sys.stdout.flush()
            say(f"\nAfterwards {server.rss_mib():,.0f} MiB resident; load average {os.getloadavg()[0]:.1f}.\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the sandbox.")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--requests", type=int, default=20_000, help="of each kind of single request")
    return parser.parse_args()


def _user(n: int) -> dict[str, Any]:
    return {
        "uid": f"user-{n:07}",
        "name": f"User number {n}",
        "role": "premium" if n % 10 == 0 else "default",
        "avatar": f"https://img.example.com/{n}.png",
        "metadata": {"country": "NO", "ring": n},
        "tags": ["coast", "north"] if n % 2 else ["night"],
        "createdAt": 1_600_000_000 + n,
    }


@contextmanager
def _serving(users: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "reconcile.sandbox", "--no-log", "--users", str(users)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            server = Server(process, json.loads(process.stdout.readline()))
            limits = dict.fromkeys(("core", "standard", "data_import"), OUT_OF_THE_WAY)
            server.ask(server.connect(), ("PUT", "/_sandbox/limits", json.dumps(limits)))
            yield server
        finally:
            process.terminate()


def _rows(server: Server, users: int, connections: int, requests: int) -> Iterator[Row]:
    random = Random(0)  # noqa: S311 - the same users every time
    some = [f"/v3/users/user-{random.randrange(users):07}" for _ in range(requests)]
    pages = [
        f"/v3/users?perPage={PER_PAGE}&page={page + 1}&withTags=1" for page in range(-(-users // PER_PAGE) + 1)
    ]
    row, answers = _timed(
        server, f"list, {PER_PAGE:,} a page", [("GET", page, None) for page in pages], connections
    )
    if (seen := sum(answer.count(b'{"uid":') for answer in answers)) != users:
        raise RuntimeError(f"the list showed {seen} users")
    yield row
    yield _timed(server, "GET one", [("GET", path, None) for path in some], connections)[0]
    update = json.dumps({"name": "Renamed", "role": "default"})
    yield _timed(server, "PUT one", [("PUT", path, update) for path in some], connections)[0]
    new = (json.dumps({"uid": f"new-{n}", "name": f"New user {n}", "tags": ["new"]}) for n in range(requests))
    yield _timed(server, "POST one", [("POST", "/v3/users", body) for body in new], connections)[0]


def _jobs(server: Server, folder: Path, rows: Sequence[Row], options: argparse.Namespace) -> Iterator[Work]:
    listing, get, put, _ = rows
    export = folder / "users.csv"
    _write_export(export, options.users, renamed=0)
    # The users that the rows above renamed and added are drift, too: the first apply is not measured.
    _run(server, folder, "apply")
    report, job_s, server_s = _run(server, folder, "plan")
    pages = report["directory"]["requests"]
    yield Work("plan: pages fetched", pages, report["timing"]["fetch"], job_s, server_s, listing.rate)
    _write_export(export, options.users, renamed=min(options.requests, options.users // 5))
    planned = (job_s, server_s)
    report, job_s, server_s = _run(server, folder, "apply")
    sent = report["requests"]["standard"] + report["requests"]["core"] - report["directory"]["requests"]
    # Half of these requests are looks, half are updates.
    alone = 2 / (1 / get.rate + 1 / put.rate)
    costs = (max(0.0, job_s - planned[0]), max(0.0, server_s - planned[1]))
    yield Work("apply: single requests", sent, report["timing"]["apply"], *costs, alone)


def _run(server: Server, folder: Path, command: str) -> tuple[dict[str, Any], float, float]:
    fast = [f"limits.{group}_per_minute={OUT_OF_THE_WAY}" for group in ("core", "standard")]
    wide = ["guards.update={percent=100}", "guards.role_change={percent=100}", "limits.share=1"]
    maps = ["role=plan", "tags=tags", "metadata.country=country"]
    flags = [word for value in fast + wide for word in ("--set", value)]
    flags += [word for value in maps for word in ("--map", value)]
    argv = [sys.executable, "-m", "reconcile", command, "--source", "users.csv", "--json", "--quiet", *flags]
    before, server_s = _children_s(), server.cpu_s()
    done = subprocess.run(  # noqa: S603 - our own command
        argv + (["--yes"] if command == "apply" else []),
        cwd=folder,
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {report.get('headline') or report}")
    return report, _children_s() - before, server.cpu_s() - server_s


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write_export(path: Path, users: int, *, renamed: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("uid", "name", "plan", "avatar", "tags", "country"))
        for user in map(_user, range(users)):
            name = f"{user['name']} again" if renamed > 0 else user["name"]
            renamed -= 1
            rows.writerow((user["uid"], name, user["role"], user["avatar"], "|".join(user["tags"]), "NO"))


def _timed(server: Server, what: str, asks: Sequence[Ask], connections: int) -> tuple[Row, list[bytes]]:
    answers: list[bytes] = []

    def work(first: int) -> None:
        connection = server.connect()
        answers.extend(server.ask(connection, ask) for ask in islice(asks, first, None, connections))
        connection.close()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(connections)]
    start, cpu_s = perf_counter(), server.cpu_s()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = Row(what, len(asks), perf_counter() - start, server.cpu_s() - cpu_s)
    if len(answers) != len(asks):
        raise RuntimeError(f"{what}: {len(answers)} of {len(asks)} were answered")
    return row, answers


if __name__ == "__main__":
    main()

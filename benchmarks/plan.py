"""
What a plan costs on this machine: `python -m benchmarks.plan [--users N ...] [--postgresql] [--in-step]
[--partitions N]`, from the root of the repository. `--curve FILE` draws what it measured.

Owns the two states, the exchange that is left out, and the table. The whole command runs in a process of its own
against a sandbox that is not there: what its client would have received stands ready in a file, so that everything
counts but HTTP itself. Needs Linux.
"""

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

from benchmarks.curve import drawn

PER_PAGE = 1_000
COLUMNS = ("uid", "name", "avatar", "link", "plan", "tags", "country", "logins")
SETTINGS = """
[source]
{source}

[fields]
uid = "uid"
name = "name"
avatar = "avatar"
link = "link"
role = "plan"
tags = {{ column = "tags", separator = "|" }}

[fields.metadata]
country = "country"
logins = {{ column = "logins", type = "number" }}
"""
CREATE = (
    "create table users (uid varchar(100) primary key, name varchar(100), avatar varchar(200), link varchar(200), "
    "plan varchar(20), tags varchar(50), country char(2), logins integer)"
)
STAGES = ("read", "fetch", "plan")
QUIET = 100  # a kind of user that is in step
TAGS: tuple[list[str], ...] = (["coast", "north"], ["night"], [], ["north", "coast", "ringed"])

User = dict[str, Any]


Pair = tuple[User | None, User | None]


def users(count: int, *, in_step: bool = False) -> Iterator[Pair]:
    """
    Make every user on both sides: 2 % missing, 5 % stale, 1 % of another role, 1 % unmanaged, the rest in step.
    """
    for n in range(count if in_step else count + count // 100):
        user = {
            "uid": f"user-{n:08}",
            "name": f"User number {n}",
            "avatar": f"https://img.example.com/{n}.png",
            "link": f"https://example.com/people/{n}",
            "role": "premium" if n % 10 == 0 else "default",
            "tags": TAGS[n % 4],
            "metadata": {"country": "NO", "logins": n % 500, "theme": "dark"},
            "createdAt": 1_600_000_000 + n,
            "updatedAt": 1_700_000_000 + n % 1000,
        }
        kind = QUIET if in_step else n % 100
        if n >= count:
            yield None, user
        elif kind < 2:
            yield user, None
        elif kind < 7:
            yield {**user, "name": f"{user['name']} again"}, user
        elif kind == 7:
            yield {**user, "role": "guest"}, user
        else:
            yield user, user


def row_of(desired: User) -> list[Any]:
    """
    Give a user as a row of the export, in the order of its columns.
    """
    plain = [desired[name] for name in ("uid", "name", "avatar", "link", "role")]
    return [*plain, "|".join(desired["tags"]), desired["metadata"]["country"], desired["metadata"]["logins"]]


def write(folder: Path, pairs: Iterator[Pair], source: str = 'location = "users.csv"') -> None:
    """
    Write the settings, the export, and the pages that the list would answer with, one a line; and where each begins.
    """
    (folder / "reconcile.toml").write_text(SETTINGS.format(source=source), "utf-8")
    page: list[User] = []
    starts = [0]
    with (
        (folder / "users.csv").open("w", encoding="utf-8", newline="") as export,
        (folder / "pages.jsonl").open("w", encoding="utf-8") as pages,
    ):
        rows = csv.writer(export)
        rows.writerow(COLUMNS)

        def turn() -> None:
            starts.append(starts[-1] + pages.write(json.dumps({"data": page}, separators=(",", ":")) + "\n"))
            page.clear()

        for desired, actual in pairs:
            if desired:
                rows.writerow(row_of(desired))
            if actual:
                page.append({name: value for name, value in actual.items() if value != []})
            if len(page) == PER_PAGE:
                turn()
        turn()
    (folder / "starts.json").write_text(json.dumps(starts), "utf-8")


def plan(folder: Path, partitions: int) -> None:
    """
    Run the command with the exchange left out; print its CPU seconds, in all and by stage, and the peak. Of worker
    processes the CPU seconds are those of all, the peak that of the largest.
    """
    from reconcile.cli import run  # noqa: PLC0415 - counted
    from reconcile.cometchat.client import Client  # noqa: PLC0415
    from reconcile.run import Run  # noqa: PLC0415

    exchange = _Exchange(folder)
    Client._exchange = lambda _, request: exchange(request)  # type: ignore[method-assign, assignment]
    spent: dict[str, float] = {}
    stage = Run.stage

    @contextmanager
    def watched(ours: Run, name: str) -> Iterator[None]:
        began = process_time()
        with stage(ours, name):
            yield
        spent[name] = process_time() - began

    Run.stage = watched  # type: ignore[method-assign, assignment]
    code = run(["plan", "--json", "--quiet", *(["--partitions", str(partitions)] if partitions else [])])
    peak = peak_mib()
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    workers = [others.ru_utime + others.ru_stime, others.ru_maxrss / 1024]
    sys.stderr.write(json.dumps([code, process_time(), peak, spent, workers]) + "\n")


def peak_mib() -> float:
    """
    Give the most memory that this process held.

    What getrusage tells would be that of the process that started this one, where it was larger.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


class _Exchange:
    """
    Answers like the service would, from a file.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "pages.jsonl").open("rb", buffering=0)
        self._starts: list[int] = json.loads((folder / "starts.json").read_text("utf-8"))
        self._headers = {"x-rate-limit": "1000000000", "x-rate-limit-remaining": "1000000000"}

    def __call__(self, request: Any) -> tuple[int, dict[str, str], bytes]:
        if request.path == "/roles":
            body = b'{"data":[{"role":"default"},{"role":"premium"},{"role":"guest"}]}'
        elif request.path == "/users":
            params = dict(request.params)
            number = int(params["page"]) - 1
            body = b'{"data":[]}' if "onlyDeactivated" in params or number < 0 else self._page(number)
        else:
            uid = request.path.removeprefix("/users/")
            number = int(uid.removeprefix("user-"))
            # A witness is shown whole; all others that are asked for are missing.
            if number % 100 < 2:
                return 404, self._headers, b'{"error":{"code":"ERR_UID_NOT_FOUND"}}'
            page = json.loads(self._page(0))["data"]
            body = json.dumps({"data": next(user for user in page if user["uid"] == uid)}).encode()
        return 200, self._headers, body

    def _page(self, number: int) -> bytes:
        if number + 1 >= len(self._starts):
            return b'{"data":[]}'
        start, end = self._starts[number : number + 2]
        return os.pread(self._file.fileno(), end - start, start)


class Measured(NamedTuple):
    """
    What one plan took; `spent` is CPU seconds by stage, `workers` those of all workers, and the peak of the largest.
    """

    report: dict[str, Any]
    seconds: float
    cpu: float
    peak: float
    spent: dict[str, float]
    workers: tuple[float, float]


def environment(folder: Path) -> dict[str, str]:
    """
    Give what the process of a plan is started with.
    """
    ours = {
        "COMETCHAT_BASE_URL": "http://127.0.0.1:1/v3",
        "COMETCHAT_APP_ID": "benchmark",
        "COMETCHAT_API_KEY": "no-key",
        "XDG_STATE_HOME": str(folder / "state"),  # its lock is nobody else's
    }
    # What is installed has its bytecode.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | ours


def measure(folder: Path, partitions: int) -> Measured:
    """
    Plan in a process of its own.
    """
    command = [sys.executable, "-m", "benchmarks.plan", "--plan", str(folder), "--partitions", str(partitions)]
    began = perf_counter()
    done = subprocess.run(  # noqa: S603 - ourselves
        command, env=environment(folder), capture_output=True, text=True, check=False
    )
    seconds = perf_counter() - began
    try:
        code, cpu, peak, spent, workers = json.loads(done.stderr.splitlines()[-1])
        report: dict[str, Any] = json.loads(done.stdout)
    except (ValueError, IndexError):
        raise SystemExit(done.stderr[-4000:]) from None
    if code:
        raise SystemExit(f"plan ended with {code}: {report.get('headline', report)}")
    return Measured(report, seconds, cpu, peak, spent, workers)


@contextmanager
def written(count: int, *, postgresql: bool, in_step: bool) -> Iterator[Path]:
    """
    Give a folder with both states, one of them perhaps in a server of its own.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        if not postgresql:
            write(folder, users(count, in_step=in_step))
            yield folder
            return
        from tests.databases import PostgreSQL  # noqa: PLC0415

        server = PostgreSQL()
        try:
            source = f'location = "{server.url()}"\ntable = "users"\ntimeout = "none"'
            write(folder, users(count, in_step=in_step), source)
            server.execute(CREATE)
            server.load("users", (row_of(desired) for desired, _ in users(count, in_step=in_step) if desired))
            yield folder
        finally:
            server.stop()


def main() -> None:
    """
    Measure some sizes, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--postgresql", action="store_true", help="read the desired state from a server")
    parser.add_argument("--in-step", action="store_true", help="a night with nothing to do")
    parser.add_argument("--partitions", type=int, default=0, help="compare in so many, by worker processes")
    parser.add_argument("--curve", type=Path, help="draw the table into this SVG file")
    parser.add_argument("--plan", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plan:
        os.chdir(asked.plan)
        plan(Path(asked.plan), asked.partitions)
        return
    say(f"{os.cpu_count()} cores, Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f}.\n")
    say(
        "| users a side | changes | requests | seconds | CPU s | read | fetch and compare | plan | the rest | peak, MiB "
        "| CPU s of workers | peak of the largest, MiB |"
    )
    say("|---|---|---|---|---|---|---|---|---|---|---|---|")
    points = []
    for count in asked.users:
        with written(count, postgresql=asked.postgresql, in_step=asked.in_step) as folder:
            found = measure(folder, asked.partitions)
        stages = [found.spent[name] for name in STAGES]
        cells = " | ".join(
            f"{number:.1f}" for number in (found.seconds, found.cpu, *stages, found.cpu - sum(stages))
        )
        changes = sum(found.report["plan"][name] for name in ("create", "update", "reactivate", "deactivate"))
        sent = sum(found.report["requests"][group] for group in ("core", "standard"))
        say(
            f"| {count:,} | {changes:,} | {sent:,} | {cells} | {found.peak:,.0f} "
            f"| {found.workers[0]:.1f} | {found.workers[1]:,.0f} |"
        )
        points.append((count, found.cpu, found.peak))
    if asked.curve:
        asked.curve.write_text(drawn(points), "utf-8")


def say(text: str) -> None:
    """
    Print at once.
    """
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

"""
What a plan costs on this machine: `python -m benchmarks.plan [--users N]`, from the root of the repository.

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
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

PER_PAGE = 1_000
COLUMNS = ("uid", "name", "avatar", "link", "plan", "tags", "country", "logins")
SETTINGS = """
[source]
location = "users.csv"

[fields]
uid = "uid"
name = "name"
avatar = "avatar"
link = "link"
role = "plan"
tags = { column = "tags", separator = "|" }

[fields.metadata]
country = "country"
logins = { column = "logins", type = "number" }
"""
TAGS = (["coast", "north"], ["night"], [], ["north", "coast", "ringed"])

User = dict[str, Any]


def users(count: int) -> Iterator[tuple[User | None, User | None]]:
    """
    Make every user on both sides: 2 % missing, 5 % stale, 1 % of another role, 1 % unmanaged, the rest in step.
    """
    for n in range(count + count // 100):
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
        kind = n % 100
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


def write(folder: Path, count: int) -> None:
    """
    Write the export, and the pages that the list would answer with, one a line.
    """
    (folder / "reconcile.toml").write_text(SETTINGS, "utf-8")
    page: list[User] = []
    with (
        (folder / "users.csv").open("w", encoding="utf-8", newline="") as export,
        (folder / "pages.jsonl").open("w", encoding="utf-8") as pages,
    ):
        rows = csv.writer(export)
        rows.writerow(COLUMNS)
        for desired, actual in users(count):
            if desired:
                tags, metadata = "|".join(desired["tags"]), desired["metadata"]
                plain = [desired[name] for name in ("uid", "name", "avatar", "link", "role")]
                rows.writerow([*plain, tags, metadata["country"], metadata["logins"]])
            if actual:
                page.append({name: value for name, value in actual.items() if value != []})
            if len(page) == PER_PAGE:
                pages.write(json.dumps({"data": page}, separators=(",", ":")) + "\n")
                page = []
        pages.write(json.dumps({"data": page}, separators=(",", ":")) + "\n")


def plan(folder: Path) -> None:
    """
    Run the command with the exchange left out; print its CPU seconds, the seconds of each stage, and the peak.
    """
    from reconcile.cli import run  # noqa: PLC0415 - counted
    from reconcile.cometchat.client import Client  # noqa: PLC0415

    exchange = _Exchange(folder / "pages.jsonl")
    Client._exchange = lambda _, request: exchange(request)  # type: ignore[method-assign]
    began = process_time()
    code = run(["plan", "--json", "--quiet"])
    cpu = process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stderr.write(json.dumps([code, cpu, peak]) + "\n")


class _Exchange:
    """
    Answers like the service would, from a file.
    """

    def __init__(self, pages: Path) -> None:
        self._file = pages.open("rb", buffering=0)
        self._starts = [0]
        for line in pages.open("rb"):
            self._starts.append(self._starts[-1] + len(line))
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


def measure(folder: Path) -> tuple[dict[str, Any], float, float, float]:
    """
    Plan in a process of its own; give the report, seconds, CPU seconds and the peak in MiB.
    """
    environment = os.environ | {
        "COMETCHAT_BASE_URL": "http://127.0.0.1:1/v3",
        "COMETCHAT_APP_ID": "benchmark",
        "COMETCHAT_API_KEY": "no-key",
        "XDG_STATE_HOME": str(folder / "state"),  # its lock is nobody else's
    }
    command = [sys.executable, "-m", "benchmarks.plan", "--plan", str(folder)]
    began = perf_counter()
    done = subprocess.run(  # noqa: S603 - ourselves
        command, env=environment, capture_output=True, text=True, check=False
    )
    seconds = perf_counter() - began
    try:
        code, cpu, peak = json.loads(done.stderr.splitlines()[-1])
        report: dict[str, Any] = json.loads(done.stdout)
    except (ValueError, IndexError):
        raise SystemExit(done.stderr[-4000:]) from None
    if code:
        raise SystemExit(f"plan ended with {code}: {report.get('headline', report)}")
    return report, seconds, cpu, peak


def main() -> None:
    """
    Measure some sizes, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--plan", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plan:
        os.chdir(asked.plan)
        plan(Path(asked.plan))
        return
    say(f"{os.cpu_count()} cores, Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f}.\n")
    say("| users a side | changes | seconds | CPU s | read | fetch and compare | plan | report | peak, MiB |")
    say("|---|---|---|---|---|---|---|---|---|")
    for count in asked.users:
        with TemporaryDirectory() as folder:
            write(Path(folder), count)
            report, seconds, cpu, peak = measure(Path(folder))
        stages = " | ".join(f"{report['timing'].get(name, 0):.1f}" for name in ("read", "fetch", "plan", "report"))
        changes = sum(report["plan"][name] for name in ("create", "update", "reactivate", "deactivate"))
        say(f"| {count:,} | {changes:,} | {seconds:.1f} | {cpu:.1f} | {stages} | {peak:,.0f} |")


def say(text: str) -> None:
    """
    Print at once.
    """
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

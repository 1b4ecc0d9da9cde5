"""
A small app in which a run does everything that a run can do, and what is the same however often it was killed.
"""

import gzip
import json
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconcile.sandbox.testing import Sandbox
from tests.kills.warm import Started, Warm

__all__ = ["PATHS", "Scene", "Seen"]

SETTINGS = """
[cometchat]
app_id = "demo"
[source]
location = "users.csv"
[fields]
uid = "uid"
name = "name"
avatar = "avatar"
role = "role"
tags = { column = "tags", separator = "|" }
[fields.metadata]
country = "country"
[policy]
unmanaged = "deactivate"
unmanaged_scope = "all"
deactivated = "reactivate"
[guards]
create = { percent = 100, floor = 1000 }
update = { percent = 100, floor = 1000 }
role_change = { percent = 100, floor = 1000, max = 1000 }
clear = { percent = 100, floor = 1000 }
deactivate = { percent = 100, floor = 1000, max = 1000 }
reactivate = { percent = 100, floor = 1000, max = 1000 }
max_shrink_percent = 100
[limits]
concurrency = 4
"""
HEAD = "uid,name,avatar,role,tags,country\n"
RESUME = ("resume", "--json")
_TIMES = {"createdAt", "updatedAt", "deactivatedAt", "lastActiveAt"}
PATHS = ("apply", "adopt", "undo", "retry")


def _directory() -> Iterator[dict[str, Any]]:
    made = {"createdAt": 1_700_000_000, "metadata": {"country": "NZ", "theme": "dark"}, "tags": ["a"]}
    for number in range(6):
        yield {"uid": f"same-{number}", "name": "Same", **made}
        yield {"uid": f"stale-{number}", "name": "Before", "avatar": "https://img.example.com/1.png", **made}
        yield {"uid": f"both-{number}", "name": "Before", "role": "premium", **made}
        yield {"uid": f"leaves-{number}", "name": "Leaves", **made}
        yield {"uid": f"returns-{number}", "name": "Returns", **made}


def _rows(**kinds: str) -> str:
    lines = (f"{kind}-{number},{rest}\n" for kind, rest in kinds.items() for number in range(6))
    return HEAD + "".join(lines)


# The night before: those who will return are switched off.
BEFORE = _rows(
    same="Same,,,a,NZ",
    stale="Before,https://img.example.com/1.png,,a,NZ",
    both="Before,,premium,a,NZ",
    leaves="Leaves,,,a,NZ",
)
NOW = _rows(
    same="Same,,,a,NZ",
    stale="After,,,b|c,ES",
    both="After,,default,a,NZ",
    returns="Back,,,a,NZ",
    new="New,https://img.example.com/2.png,premium,a,NZ",
)


@dataclass(slots=True)
class Seen:
    """What one way through left: users, successful writes, outcomes, and how long the way is."""

    users: dict[str, Any]
    writes: Counter[tuple[str, str]]
    outcomes: dict[str, int]
    steps: int = 0
    requests: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Prepared:
    """A folder and a directory, right before the command that is to be killed."""

    folder: Path
    users: list[dict[str, Any]]
    argv: tuple[str, ...]
    undisturbed: Seen | None = None


@dataclass(slots=True)
class Scene:
    """A folder with settings and export, a sandbox, and the warm parent that runs commands there."""

    sandbox: Sandbox
    warm: Warm
    place: Path
    _prepared: dict[str, _Prepared] = field(default_factory=dict)
    _number: int = 0

    @property
    def env(self) -> dict[str, str]:
        """The environment of a command."""
        return {
            "PATH": os.environ["PATH"],
            "COMETCHAT_BASE_URL": self.sandbox.base_url,
            "COMETCHAT_API_KEY": self.sandbox.api_key,
            "XDG_STATE_HOME": str(self.place / "locks"),
            "NO_COLOR": "1",
        }

    def start(self, folder: Path, *argv: str, **more: Any) -> Started:
        """Start a command in a folder."""
        return self.warm.start(folder, self.env, *argv, **more)

    def run(self, folder: Path, *argv: str, **more: Any) -> tuple[int, str]:
        """Run a command to its end; give exit code and stderr."""
        started = self.start(folder, *argv, **more)
        return started.wait(), started.err.read_text("utf-8")

    def must(self, folder: Path, *argv: str) -> None:
        """Run a command that has to succeed."""
        code, err = self.run(folder, *argv)
        assert code == 0, err

    def set_up(self, path: str) -> tuple[Path, tuple[str, ...]]:
        """Give a fresh folder, the directory that goes with it, and the command of this way to a plan."""
        prepared = self._prepared.get(path) or self._prepare(path)
        self._number += 1
        folder = self.place / f"{path}-{self._number}"
        shutil.copytree(prepared.folder, folder, symlinks=True)
        self._load(prepared.users)
        return folder, prepared.argv

    def undisturbed(self, path: str) -> Seen:
        """Give what this way leaves where nothing disturbs it."""
        folder, argv = self.set_up(path)
        prepared = self._prepared[path]
        if prepared.undisturbed is None:
            trace = folder / "trace"
            started = self.start(folder, *argv, trace=str(trace))
            code = started.wait()
            assert code == 0, started.err.read_text("utf-8")
            seen = self.see(folder)
            seen.steps, seen.requests = int(trace.read_text("ascii")), self.sandbox.counters().requests
            seen.seconds = time.monotonic() - started.began
            prepared.undisturbed = seen
            assert {"PUT", "DELETE"} <= {method for method, _ in seen.writes}
        return prepared.undisturbed

    def see(self, folder: Path) -> Seen:
        """Look at everything that counts, of the newest run there; no outcomes where it applied nothing."""
        report = _report(folder)
        assert report["broken_laws"] == []
        outcomes = report["outcomes"] or {}
        assert sum(outcomes.values()) in {0, sum(report["plan"][kind] or 0 for kind in _ACTIONS)}
        return Seen(self._users(), self._writes(), outcomes)

    @contextmanager
    def at_request(
        self, number: int, act: Callable[[], None], *, answered: bool, call: str = ""
    ) -> Iterator[None]:
        """
        Do something when the n-th request has come, or has been carried out and not been answered yet.

        With `call`, an endpoint, only its requests count, when they are answered.
        """
        journal, left = self.sandbox._world.journal, [number]
        name = "answered" if answered else "arrived"
        real = getattr(journal, name)

        def hooked(*arguments: Any) -> None:
            real(*arguments)
            if call and arguments[0].endpoint != call:
                return
            left[0] -= 1
            if left[0] == 0:
                act()

        setattr(journal, name, hooked)
        try:
            yield
        finally:
            delattr(journal, name)

    def _prepare(self, path: str) -> _Prepared:
        folder = self.place / f"{path}-0"
        folder.mkdir()
        (folder / "reconcile.toml").write_text(SETTINGS, "utf-8")
        (folder / "users.csv").write_text(BEFORE, "utf-8")
        self._load(list(_directory()))
        self.must(folder, "apply", "--yes")
        (folder / "users.csv").write_text(NOW, "utf-8")
        argv: tuple[str, ...] = ("apply", "--yes", "--accept-source")
        if path == "adopt":
            self.must(folder, "plan", "--accept-source")
            argv = ("apply", newest(folder), "--yes")
        if path == "undo":
            self.must(folder, *argv)
            argv = ("undo", newest(folder), "--yes")
        if path == "retry":
            self.sandbox.fault("status", method="PUT,POST,DELETE", code=422, error="ERR_BAD_REQUEST")
            code, err = self.run(folder, *argv)
            self.sandbox.clear_faults()
            assert code == 4, err
            argv = ("retry", newest(folder), "--yes")
        self._prepared[path] = _Prepared(folder, list(self.sandbox.users().values()), argv)
        return self._prepared[path]

    def _load(self, users: list[dict[str, Any]]) -> None:
        self.sandbox.reset()
        self.sandbox.load_roles(["premium"])
        self.sandbox.load_users(users)
        self.sandbox.clear_log()

    def _users(self) -> dict[str, Any]:
        return {
            uid: {name: value for name, value in user.items() if name not in _TIMES}
            | {"off": user.get("deactivatedAt") is not None}
            for uid, user in self.sandbox.users().items()
        }

    def _writes(self) -> Counter[tuple[str, str]]:
        """Count the writes that were carried out, by method and user."""
        writes: Counter[tuple[str, str]] = Counter()
        for entry in self.sandbox.log():
            if entry.method == "GET" or entry.status not in {200, 201}:
                continue
            body = json.loads(entry.body)
            uids = [entry.uid or body.get("uid")] if entry.uid or "uid" in body else next(iter(body.values()))
            writes.update((entry.method, uid) for uid in uids)
        return writes


_ACTIONS = ("create", "update", "reactivate", "deactivate")


def newest(folder: Path) -> str:
    """Give the id of the newest run."""
    return (folder / "runs" / "latest").readlink().name


def _report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "runs" / "latest" / "report.json").read_bytes())
    return report


def is_whole(folder: Path) -> None:
    """See that every file is old, new or absent, never half, and that the state file is sound."""
    for path in (folder / "runs").glob("*/*"):
        if not path.name.startswith("."):
            _READERS.get(path.suffix, Path.read_bytes)(path)
    state = folder / "runs" / "state.sqlite"
    if not state.exists():
        return
    # A copy: to open it would heal what the next run is to meet.
    aside = folder / "aside"
    aside.mkdir(exist_ok=True)
    for path in (folder / "runs").glob("state.sqlite*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, aside / path.name)
    with closing(sqlite3.connect(aside / "state.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    shutil.rmtree(aside)


def _read_html(path: Path) -> None:
    assert path.read_text("utf-8").rstrip().endswith("</html>"), path


def _read_json(path: Path) -> None:
    json.loads(path.read_bytes())


def _read_gzip(path: Path) -> None:
    assert b"sha256" in gzip.decompress(path.read_bytes()).splitlines()[-1], path


def _read_lines(path: Path) -> None:
    assert path.read_bytes().endswith(b"\n"), path


_READERS: dict[str, Callable[[Path], object]] = {
    ".html": _read_html,
    ".json": _read_json,
    ".gz": _read_gzip,
    ".csv": _read_lines,
    ".md": _read_lines,
}


def settled(folder: Path) -> dict[tuple[str, int], str]:
    """Give the outcomes that are durable, by run and change."""
    path = folder / "runs" / "state.sqlite"
    if not path.exists() or not path.stat().st_size:
        return {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT run_id, seq, outcome FROM outcomes").fetchall()
    return {(run_id, seq): outcome for run_id, seq, outcome in rows}


def unfinished(folder: Path) -> str:
    """Say how far the newest run that is not finished has come; empty where all are."""
    path = folder / "runs" / "state.sqlite"
    if not path.exists() or not path.stat().st_size:
        return ""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        sql = "SELECT state FROM runs WHERE state NOT IN ('finished', 'superseded') ORDER BY run_id DESC"
        row = connection.execute(sql).fetchone()
    return "" if row is None else str(row[0]).partition(" ")[0]


KILL = signal.SIGKILL

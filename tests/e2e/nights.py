"""A job that runs night after night over small exports, with the time of each under control."""

import os
from datetime import datetime
from pathlib import Path

from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import StateReader
from tests.conftest import Result, Shell

NIGHT = 86_400
_SETTINGS = """\
[cometchat]
app_id = "demo"

[source]
location = "users.csv"

[fields]
uid = "id"
name = "name"
role = "plan"
avatar = "avatar"

[limits]
core_per_minute = 9000
standard_per_minute = 18000
"""


class Nights:
    """The command line over exports of `user-1`, `user-2` and so on; the last night's is so many seconds old."""

    def __init__(self, shell: Shell, sandbox: Sandbox, *, age_s: int = 0) -> None:
        self.shell = shell
        self.sandbox = sandbox
        self.state = shell.folder / "runs" / "state.sqlite"
        shell.write("reconcile.toml", _SETTINGS)
        self._now = int((shell.folder / "reconcile.toml").stat().st_mtime) - age_s

    def run(
        self,
        rows: int,
        *flags: str,
        command: tuple[str, ...] = ("plan",),
        night: int = 0,
        code: int = 0,
        **cells: str,
    ) -> Result:
        """Write an export of so many rows, run a command over it, and see that it ends as it should."""
        self.write(rows, night=night, **cells)
        result = self.shell(*command, "--json", *flags)
        assert result.code == code, (result.out, result.err)
        return result

    def write(self, rows: int, *, night: int = 0, **cells: str) -> bytes:
        """Write an export of so many rows, of so many nights from now, with the same cells in each row."""
        row: dict[str, str] = {"name": "Same", "plan": "", "avatar": "https://img.example.com/1.png"} | cells
        lines = [",".join(["id", *row]), *(",".join([f"user-{n}", *row.values()]) for n in range(1, rows + 1))]
        return self.write_text("\n".join(lines) + "\n", night=night)

    def write_text(self, text: str, *, night: int = 0) -> bytes:
        """Write an export as it stands here."""
        path = self.shell.write("users.csv", text)
        self.age(path, night=night)
        return text.encode()

    def age(self, path: Path, *, night: int) -> None:
        """Let a file be of so many nights from now."""
        moment = self._now + night * NIGHT
        os.utime(path, (moment, moment))

    def moment(self, night: float) -> int:
        """Give the time so many nights from now, in unix seconds."""
        return int(self._now + night * NIGHT)

    def baselines(self) -> list[int]:
        """The rows of the good runs, newest first."""
        return [baseline.rows for baseline in StateReader(self.state).baselines()]

    @staticmethod
    def as_of(result: Result) -> int:
        """When the report says that the export was true, in unix seconds."""
        return int(datetime.fromisoformat(result.json["source"]["as_of"]).timestamp())

    @staticmethod
    def started_at(result: Result) -> int:
        """When the report says that the run started, in unix seconds."""
        return int(datetime.fromisoformat(result.json["started_at"]).timestamp())

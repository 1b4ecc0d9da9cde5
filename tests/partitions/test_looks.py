"""Promises about explain and doctor over large exports: what they say is what a plan knows, and neither holds all rows."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reconcile.partitions.parted import Spill
from reconcile.sandbox.testing import Sandbox
from reconcile.sources import Rows
from tests.conftest import Shell
from tests.partitions.worlds import MAPPING, World, draw
from tests.scale import dice, how_many

SETTINGS = """\
[cometchat]
app_id = "demo"

[source]
location = "users.csv"

[fields]
uid = "id"
name = "name"
avatar = "avatar"
role = "role"
tags = { column = "tags", separator = "|" }

[fields.metadata]
a = "metadata.a"
n = { column = "metadata.n", type = "number" }

[guards]
max_quarantined = { percent = 100, floor = 20 }
"""


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were in memory at the end of each reading."""
    found: list[int] = []

    def watched(joined: Callable[[Any], pd.DataFrame]) -> Callable[[Any], pd.DataFrame]:
        def seen(self: Any) -> pd.DataFrame:
            frame = joined(self)
            found.append(len(frame))
            return frame

        return seen

    # Where a reader has the rows put together; a spill that stays in memory asks the other.
    for kind in (Rows, Spill):
        monkeypatch.setattr(kind, "joined", watched(kind.joined))
    return found


def set_up(shell: Shell, sandbox: Sandbox, case: str) -> World:
    """Draw an export and a directory."""
    world = draw(dice(case), 60)
    sandbox.load_roles(["vip"])
    sandbox.load_users(
        {"uid": user.uid.lower(), "name": user.name, "role": user.role} for page in world.pages for user in page
    )
    shell.write("reconcile.toml", SETTINGS)
    with (shell.folder / "users.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(MAPPING.columns))
        writer.writeheader()
        writer.writerows(world.rows)
    return world


def of_plan(shell: Shell, name: str) -> list[dict[str, str]]:
    """The rows of a file of the newest plan."""
    with shell.latest(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("case", range(how_many(3, soak=100)))
def test_explain_says_of_one_what_a_plan_knows_and_holds_the_rows_of_that_one_alone(
    shell: Shell, sandbox: Sandbox, held: list[int], case: int
) -> None:
    """Whichever of its rows, why any of them is out, and what would be written; of users of every kind."""
    world = set_up(shell, sandbox, f"explain {case}")
    assert shell("plan", "--quiet").code == 0
    why = {int(row["source_row"]): f"{row['kind']}: {row['detail']}" for row in of_plan(shell, "quarantine.csv")}
    changes = [(row["uid"], row["action"]) for row in of_plan(shell, "changes.csv")]
    lines: dict[str, list[int]] = {}
    for at, row in enumerate(world.rows, 2):
        lines.setdefault(str(row["id"]).lower(), []).append(at)

    crowded = [uid for uid, rows in lines.items() if len(rows) > 1]
    for uid in [*crowded[:4], *[uid for uid in lines if uid][:6], "nobody-at-all"]:
        held.clear()
        told = shell("explain", uid, "--json")
        assert told.code == 0, told.err
        found: dict[str, Any] = told.json

        rows = lines.get(uid, [])
        assert [row["source_row"] for row in found["rows"]] == rows
        assert held == [len(rows)]
        assert found["quarantined"] == {str(row): why[row] for row in rows if row in why}
        assert [(uid, change["action"]) for change in found["decision"]] == [
            one for one in changes if one[0] == uid
        ]


def findings(shell: Shell, *flags: str) -> list[dict[str, Any]]:
    """What the doctor finds, but for the room on the disk, which others use, too."""
    told = shell("doctor", "--json", *flags)
    return [finding for finding in told.json["findings"] if finding["what"] != "run dir"]


@pytest.mark.parametrize("case", range(how_many(3, soak=100)))
def test_the_doctor_finds_the_same_in_partitions_and_holds_no_row(
    shell: Shell, sandbox: Sandbox, held: list[int], case: int
) -> None:
    """To the word; in memory it holds them all. Nothing is left, and no run directory is made for it."""
    world = set_up(shell, sandbox, f"doctor {case}")
    whole = findings(shell)
    assert set(held) == {len(world.rows)}
    held.clear()

    assert findings(shell, "--set", "run.partitions=3") == whole
    assert held == [0]
    assert not (shell.folder / "runs").exists()


def test_what_a_doctor_that_was_killed_left_goes_with_the_next_run(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what a run leaves."""
    with monkeypatch.context() as patch:
        patch.setattr("reconcile.store.artifacts.shutil.rmtree", lambda *_args, **_named: None)
        shell("doctor", "--json", "--set", "run.partitions=2")
    left = [path for path in (shell.folder / "runs").rglob("*.parquet") if path.is_file()]
    assert left
    assert shell("plan", "--quiet").code == 0

    assert not any(map(Path.exists, left))


def test_the_doctor_says_where_it_has_no_room_for_partitions(shell: Shell, drifted: Sandbox) -> None:
    """As a run would: with its remedy."""
    shell.write("runs", "a file in the way")
    found = findings(shell, "--set", "run.partitions=2")

    (source,) = [finding for finding in found if finding["what"] == "source"]
    assert (source["level"], source["code"]) == ("fail", 2)
    assert "cannot be written" in source["words"]

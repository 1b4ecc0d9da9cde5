"""`--redact`: no byte of the reports tells who is in the app, and they still say what happened."""

import csv
import json
import re
from functools import cache
from pathlib import Path

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import SAMPLES, Result, Shell
from tests.e2e.profiles import under_one_profile
from tests.e2e.small_world import EXPORT, flags
from tests.report.builders import unpacked

# What is hidden does not depend on how the service answers.
pytestmark = under_one_profile

# Texts of the samples that a report says of itself.
OUR_WORDS = {"null", "true", "false"}
FILES = ("report.html", "report.json", "report.md", "changes.csv", "quarantine.csv")


def texts_of_the_samples() -> set[str]:
    """Every uid, name and other value of the export and of the directory, as whole cells and as what they are made of."""
    with (SAMPLES / "users.csv").open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    found = {cell for row in rows for cell in row}
    lines = (SAMPLES / "directory.jsonl").read_text("utf-8").splitlines()
    found |= set(_texts([json.loads(line) for line in lines]))
    found |= {part for text in found for part in text.split("|")}
    return {text.strip() for text in found if len(text.strip()) > 1} - OUR_WORDS


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def told(text: str, said: str) -> bool:
    """Whether a text stands somewhere as a word of its own, in any case of letters."""
    said = _without_memory(said)
    # Most do not stand there at all, and that is told a hundred times sooner.
    if text.casefold() not in _folded(said):
        return False
    return re.search(rf"(?<![\w.-]){re.escape(text)}(?![\w-])", said, re.IGNORECASE) is not None


@cache
def _without_memory(said: str) -> str:
    """Leave out how much memory the process held: a process of many tests may hold as many MiB as a ring has numbers."""
    return re.sub(r'"peak_rss_mib": ?\d+', "", said)


@cache
def _folded(said: str) -> str:
    return said.casefold()


def files_of(folder: Path) -> dict[str, str]:
    """All that the report files of a run say, by name."""
    return {name: unpacked((folder / name).read_text("utf-8")) for name in FILES}


@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes")])
def test_no_text_of_the_samples_is_in_a_redacted_report(
    shell: Shell, drifted: Sandbox, command: tuple[str, ...]
) -> None:
    """Not a uid, a name, a picture, a role, a tag or a country, in any file or on stdout; without the flag they are there."""
    texts = texts_of_the_samples()
    result = shell(*command, "--redact", "--json")
    hidden = {**files_of(shell.folder / "runs" / result.json["run_id"]), "stdout": result.out}
    open_ = shell("plan", "--json").json["run_id"]

    assert {(name, text) for name, said in hidden.items() for text in texts if told(text, said)} == set()
    if command == ("plan",):
        seen = files_of(shell.folder / "runs" / open_)
        assert sum(told(text, seen["changes.csv"]) for text in texts) > 100
        assert sum(told(text, seen["report.html"]) for text in texts) > 100


def test_a_redacted_report_counts_like_any_other(shell: Shell, drifted: Sandbox) -> None:
    """The same numbers, rows and fields; who comes twice is the same twice."""
    plain, hidden = (shell("plan", "--json", *flag).json for flag in ((), ("--redact",)))
    folders = [shell.folder / "runs" / report["run_id"] for report in (plain, hidden)]
    tables = [list(csv.DictReader((folder / "changes.csv").read_text("utf-8").splitlines())) for folder in folders]

    assert hidden["redacted"] is True
    for part in ("drift", "plan", "outcomes", "verdict", "headline"):
        assert hidden[part] == plain[part]
    for column in ("action", "class", "reasons", "fields", "source_row"):
        assert [row[column] for row in tables[1]] == [row[column] for row in tables[0]]
    pairs = {(one["uid"], other["uid"]) for one, other in zip(*tables, strict=True)}
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


@pytest.mark.parametrize("form", ["html", "json", "md", "csv", "text"])
def test_a_past_run_is_told_again_without_its_users(shell: Shell, drifted: Sandbox, form: str) -> None:
    """Its own files stay as they are; and a run whose files name nobody can be told no other way."""
    run_id = shell("plan", "--json").json["run_id"]
    before = files_of(shell.folder / "runs" / run_id)
    again = shell("report", run_id, "--redact", "--format", form)
    texts = texts_of_the_samples()
    # The summary on a terminal names files by their path.
    said = unpacked(again.out).replace(str(shell.folder), "")

    assert again.code == 0
    assert {text for text in texts if told(text, said)} == set()
    assert files_of(shell.folder / "runs" / run_id) == before
    assert shell("report", shell("plan", "--redact", "--json").json["run_id"], "--format", form).code == 0


def test_a_run_that_was_started_redacted_is_resumed_redacted(world: Shell, sandbox: Sandbox) -> None:
    """The flag is recorded with the run."""
    sandbox.fault("status", method="PUT,POST", path="/users*", code=503, nth=3, times=10**6)
    stopped = world("apply", "--yes", "--redact", "--json", *flags())
    sandbox.clear_faults()
    resumed = world("resume", "--json")

    assert stopped.code in {7, 8}, stopped.out
    assert resumed.json["redacted"] is True
    assert "missing-1" not in resumed.out


def test_the_reports_of_a_redacted_run_forget_a_user_too(world: Shell, sandbox: Sandbox) -> None:
    """Its mark goes with it, and the others' marks stay."""
    world.write("users.csv", EXPORT + "missing-1,Twice,default,,,,,\nbare,Twice,default,,,,,\n")
    run_id = world("plan", "--redact", "--json", *flags()).json["run_id"]
    folder = world.folder / "runs" / run_id
    before = files_of(folder)
    marks = set(re.findall(r"user-[0-9a-f]{12}", "".join(before.values())))
    assert _forgotten(world("forget", "renamed", "--yes", "--json")) == [run_id]
    assert _forgotten(world("forget", "missing-1", "--yes", "--json")) == []
    after = files_of(folder)
    left = set(re.findall(r"user-[0-9a-f]{12}", "".join(after.values())))

    assert left < marks
    assert len(marks - left) >= 1
    assert json.loads(after["report.json"])["redacted"] is True
    assert "Twice" not in "".join(after.values())


def _forgotten(result: Result) -> list[str]:
    assert result.code == 0, result.out
    found: list[str] = result.json["runs"]
    return found

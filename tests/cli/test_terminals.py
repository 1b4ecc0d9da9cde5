"""What a terminal shows: on any width, with colours only where they are wanted; and JSON that always parses."""

import json
import re
import subprocess
import sys
import unicodedata

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.terminal import on_a_terminal

COLOR = re.compile(r"\x1b\[[0-9;]*m")
MOVES = re.compile(r"\x1b\[\??[0-9;]*[A-Za-z]")


def _lines(text: str) -> list[str]:
    """What stands on the lines in the end, without colours; a bar that was wiped out again counts as well."""
    return [line for part in MOVES.sub("", text).split("\n") for line in part.split("\r")]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_is_wider_than_the_terminal(shell: Shell, drifted: Sandbox, width: int) -> None:
    """Bars, summary and table, but for the paths of files."""
    planned = on_a_terminal("plan", columns=width, lines=50)
    listed = on_a_terminal("runs", columns=width)
    # A line of the log is one for programs, too.
    lines = [line for line in _lines(planned.text + listed.text) if "runs/" not in line and "[warning" not in line]

    assert (planned.code, listed.code) == (0, 0)
    assert max(map(len, lines)) <= width, max(lines, key=len)
    assert "read" in planned.text
    assert "fetch" in planned.text


def test_a_summary_of_a_real_run_fits_24_lines(shell: Shell, drifted: Sandbox) -> None:
    """What stays on the screen, with the prompt below."""
    shown = on_a_terminal("plan", "--quiet", columns=80, lines=24)

    assert shown.text.count("\n") < 24
    assert "more: --show" in shown.text


@pytest.mark.parametrize(
    ("environ", "is_colored"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
    ids=["terminal", "NO_COLOR", "dumb", "empty"],
)
def test_colors_are_for_terminals_that_want_them(
    shell: Shell,
    drifted: Sandbox,
    environ: dict[str, str],
    is_colored: bool,  # noqa: FBT001 - a fact of the case
) -> None:
    """In the summary, the list of runs, an error, and the log."""
    texts = [
        on_a_terminal(*argv, environ=environ).text
        for argv in (("plan", "--verbose"), ("runs",), ("plan", "--source", "gone.csv"), ("plan", "--nonsense"))
    ]

    assert [COLOR.search(text) is not None for text in texts] == [is_colored] * 4
    if environ.get("TERM") == "dumb":
        assert not any("\x1b" in text for text in texts)


def test_a_pipe_gets_no_colors_and_no_bar(shell: Shell, drifted: Sandbox) -> None:
    """Nor anything else that acts on a terminal, on neither stream."""
    done = subprocess.run([sys.executable, "-m", "reconcile", "plan"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert not {char for char in done.stdout + done.stderr if unicodedata.category(char) == "Cc"} - {"\n"}


@pytest.mark.parametrize(
    "argv",
    [
        ("plan",), ("apply", "--yes", "--limit", "3"), ("apply",), ("runs",), ("report",), ("doctor",), ("resume",), ("explain", "u1"), ("retry", "x"),
        ("undo", "x"), ("report", "../x"), ("plan", "--source", "gone.csv"), ("plan", "--nonsense"), ("plan", "--set", "x"),
        ("plan", "--show", "many"), ("apply", "--limit", "0"), ("runs", "--run-dir", "nowhere"), ("forget", "u1"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_json_is_one_document_whatever_happens(shell: Shell, drifted: Sandbox, argv: tuple[str, ...]) -> None:
    """On stdout, also on failure; its exit code is the process's, where it has one, and each error says what to do next."""
    told = shell(*argv, "--json")
    document = json.loads(told.out)

    assert isinstance(document, dict)
    assert document.get("exit_code", told.code) == told.code or argv[0] == "report"
    assert all(error["message"] and error["hint"] for error in document.get("errors", []))
    assert told.code < 6 or document.get("errors") or document["error"]["hint"]


def test_more_changes_are_shown_where_somebody_asks(shell: Shell, drifted: Sandbox) -> None:
    """By plan, and again by report."""
    few, more, none = shell("plan").out, shell("plan", "--show", "all").out, shell("plan", "--show", "0").out
    again = shell("report", "--show", "all").out

    def changes(text: str) -> int:
        return len(re.findall(r"^  [+~!] ", text, re.MULTILINE))

    assert (changes(few), changes(none)) == (10, 0)
    assert changes(more) == changes(again) > 100

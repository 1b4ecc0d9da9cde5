"""The page of errors is held to the code: each message has its row, its exit code and its remedy, and each row its message."""

import re
from pathlib import Path

import pytest

from reconcile.errors import ExitCode
from tests.errors_found import HOLE, Found, found, raised_elsewhere

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
FOUND = found()
# What is passed on: the words are made elsewhere, and stand where the comment says.
ELSEWHERE = {
    ("applying/upserts.py", "error.message"),  # of an answer: errors-of-cometchat.md
    *(("cometchat/answers.py", "words"),),  # the same
    ("cometchat/gate.py", "self.code"),  # the exit code's own meaning
    ("interrupts.py", "code"),
    ("interrupts.py", "self._stop.code"),
    ("sources/sqlite.py", "ExitCode.SIGINT"),
    ("wrapup.py", "run.stop.code"),
    ("wrapup.py", "run.stop.why"),  # the deadline
    ("cli/explain.py", "problems"),  # the pairs of objections.py
    ("cli/forget.py", "problems"),
    ("cli/options.py", "problems"),  # the pairs of core/review.py
    ("opening.py", "problems"),
    ("config.py", "problems"),
    ("library.py", "self.report.headline"),  # how a run ended
    ("scaffold.py", "problems"),
    ("store/state.py", "error.message"),  # of store/place.py, to each who asks
    ("cli/sandbox.py", "str(error)"),  # a flag of the sandbox
}  # fmt: skip


def _rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rows = {cell.removeprefix("`").removesuffix("`"): rest for cell, *rest in cells}
    assert len(rows) == len(lines), "a message has two rows"
    return rows


ROWS = _rows()
# What is no error of its own class, and ends a run all the same.
ENDS = {code.meaning for code in (ExitCode.SIGINT, ExitCode.SIGTERM)} | {
    "the deadline of … passed",
    "interrupted",
    "this is a bug in reconcile",
}


def test_every_message_has_its_row_and_every_row_its_message() -> None:
    """No message is new to the page, and none on it is gone."""
    assert {one.message for one in FOUND} | ENDS == set(ROWS)


def test_no_error_hides_from_the_page() -> None:
    """A message that is not written out where it is raised is made somewhere that is known."""
    assert raised_elsewhere() <= ELSEWHERE


@pytest.mark.parametrize("one", FOUND, ids=lambda one: f"{one.place}: {one.message[:60]}")
def test_a_row_says_why_and_what_the_error_itself_says_to_do(one: Found) -> None:
    """And with which exit code it ends."""
    codes, why, remedy = ROWS[one.message]

    assert str(one.exit_code) in codes.split(", ")
    assert why
    assert remedy
    if one.remedy and one.remedy.strip(HOLE + " "):
        assert one.remedy in remedy


@pytest.mark.parametrize("one", FOUND, ids=lambda one: f"{one.place}: {one.message[:60]}")
def test_a_message_says_what_and_a_remedy_what_next(one: Found) -> None:
    """In words that begin small and end without a full stop, as they stand in a line; nobody is told to "check" alone."""
    assert not one.message.endswith(".")
    assert len(one.message.replace(HOLE, "").split()) >= 2 or HOLE in one.message
    if one.remedy is not None:
        assert len(one.remedy) > 8 or one.remedy == HOLE
        assert not re.fullmatch(r"(check|look at|remove|copy) (it|the disk|disk and rights)( again)?", one.remedy)

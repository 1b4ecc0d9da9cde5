"""The page of promises is held to the tests: what it names exists, and what it counts is so many."""

import re
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest

from tests.cometchat import test_verdicts, test_wire
from tests.core import test_skew
from tests.e2e import test_age, test_clock, test_outages, test_settled, test_switches, weather
from tests.e2e.profiles import PROFILES
from tests.kills import test_truth
from tests.security import test_files, test_formulas, test_key, test_page, test_paths, test_redirects, test_tls
from tests.sources import hostile, test_sql_attacks

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "promises.md"
HOW_MANY = re.compile(r"how_many\(([\d_]+), soak=([\d_]+)\)")


def _rows() -> dict[str, list[str]]:
    """The cells of each row, by what it is called."""
    lines = [line.split("|")[1:-1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    return {
        name.strip(): [cell.strip() for cell in cells]
        for name, *cells in lines
        if len(cells) == 6 and name.strip()
    }


ROWS = _rows()
FILES = {name: re.findall(r"`([a-z_/0-9]+\.py)`", cells[-1]) for name, cells in ROWS.items()}


def numbers(text: str) -> set[int]:
    """Every number in a cell."""
    return {int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", text)}


def times(test: Callable[..., None]) -> int:
    """How many cases a test is written out in."""
    return prod(len(list(mark.args[1])) for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize")


# What the page counts that no dice make.
WRITTEN_OUT: dict[str, list[int]] = {
    "R4": [len(weather.CASES)],
    "R5": [times(test_settled.test_a_lost_answer_is_settled_by_looking)],
    "R6": [
        times(test_verdicts.test_every_status_has_its_row)
        + times(test_verdicts.test_every_status_without_json_has_its_row),
        times(test_verdicts.test_a_known_code_outranks_every_status),
        times(test_verdicts.test_every_failure_has_its_row),
        times(test_settled.test_every_row_ends_as_it_says),
    ],
    "R7": [
        times(test_wire.test_retry_after_in_seconds_is_taken_as_it_stands),
        times(test_wire.test_retry_after_as_a_date_is_measured_against_the_answers_own) * 3,  # time zones
        times(test_wire.test_a_retry_after_that_says_nothing_leaves_the_reset),
    ],
    "R10": [len(test_outages.OUTAGES)],
    "R13": [len(hostile.HOSTILE)],
    "Truth": [
        len(test_truth.ATTACKS),
        times(test_truth.test_few_descriptors_are_told_as_what_they_are),
        times(test_truth.test_closed_streams_end_nothing),
        times(test_truth.test_a_reader_that_sleeps_holds_up_nothing),
    ],
    "Clock": [
        times(test_clock.test_who_signs_up_during_the_run_is_never_switched_off),
        times(test_clock.test_a_change_is_newer_by_cometchats_clock),
        times(test_skew.test_one_answer_from_a_cache_does_not_count),
    ],
    "Age": [
        times(test_age.test_a_day_is_the_usual_limit),
        times(test_age.test_the_limit_is_that_of_today),
        times(test_age.test_a_run_of_an_older_version_counts_from_its_end_or_its_start),
    ],
    "Switches": [times(test_switches.test_each_answer_to_an_open_question)],
    "S1": [
        times(test_key.test_an_answer_that_repeats_the_key_does_not_travel),
        times(test_key.test_a_bug_shows_no_key),
        times(test_key.test_a_key_in_the_wrong_place_is_not_repeated),
    ],
    "S2": [
        times(test_redirects.test_a_redirect_takes_nothing_to_another_server),
        times(test_redirects.test_the_address_that_is_checked_is_the_one_that_is_called),
    ],
    "S3": [len(test_paths.NASTIES)],
    "S4": [times(test_formulas.test_no_known_payload_is_run)],
    "S5": [len(test_page.PAYLOADS)],
    "S8": [len(test_sql_attacks.POSTGRESQL), len(test_sql_attacks.MARIADB), len(test_sql_attacks.SQLITE)],
    "S9": [
        times(test_files.test_no_output_goes_through_a_link),
        times(test_files.test_the_name_of_a_run_is_no_way_out_of_the_run_dir),
    ],
    "S11": [times(test_tls.test_a_certificate_that_proves_nothing_is_refused_at_once)],
}
# Of these each case is under one profile in CI, and under all in the soak.
IN_TURN = ("R4", "R10")


def test_every_promise_has_its_row() -> None:
    """All of them, each once."""
    names = re.findall(r"^\| ([RS]\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    wanted = [*(f"R{number}" for number in range(1, 21)), *(f"S{number}" for number in range(1, 13))]

    assert sorted(names) == sorted(wanted)
    assert ROWS.keys() >= set(wanted)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_files_that_exist_and_numbers_that_are_so(name: str) -> None:
    """A number in the column of CI is the number of cases, be they written out or made by dice."""
    _, _, ci, soak, *_ = ROWS[name]
    missing = [file for file in FILES[name] if not (ROOT / file).is_file()]

    assert missing == []
    assert FILES[name] or "make mutants" in ROWS[name][-1]
    assert set(WRITTEN_OUT.get(name, [])) <= numbers(ci)
    assert name not in IN_TURN or {len(PROFILES) * cases for cases in WRITTEN_OUT[name]} <= numbers(soak)


def _generated() -> list[tuple[str, int, int]]:
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text("utf-8")
        found += [(str(path.relative_to(ROOT)), int(ci), int(soak)) for ci, soak in HOW_MANY.findall(text)]
    return found


@pytest.mark.parametrize(("file", "ci", "soak"), sorted(set(_generated())))
def test_whatever_is_generated_stands_in_a_row(file: str, ci: int, soak: int) -> None:
    """With its numbers, and every row that has them names the file; so no number can change unseen."""
    rows = [ROWS[name] for name, files in FILES.items() if file in files]

    assert any(ci in numbers(row[2]) and soak in numbers(row[3]) for row in rows), rows


def test_what_is_promised_in_the_rooms_of_promises_stands_in_a_row() -> None:
    """Every file about kills, worlds and security."""
    named = {file for files in FILES.values() for file in files}
    rooms = [
        path for room in ("kills", "worlds", "security") for path in (ROOT / "tests" / room).glob("test_*.py")
    ]

    assert {str(path.relative_to(ROOT)) for path in rooms} <= named

"""Hostile files on the command line: exit code 6, the words, and not one request."""

import re
import subprocess
import sys

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import SAMPLES, Shell
from tests.e2e.profiles import under_one_profile
from tests.sources.hostile import HOSTILE, Hostile

# How an export is read does not depend on how the service answers.
pytestmark = under_one_profile

REFUSED = [hostile for hostile in HOSTILE if hostile.words and not hostile.settings]
SHARES = 6
ONE_OFF = ("--map", "uid=id", "--map", "name=name")


@pytest.fixture
def one_off(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command line without a file of settings."""
    (shell.folder / "reconcile.toml").unlink()
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("COMETCHAT_REGION", "us")
    return shell


@pytest.mark.parametrize("share", range(SHARES))
def test_a_hostile_file_is_6_with_no_request(one_off: Shell, drifted: Sandbox, share: int) -> None:
    """Whatever is wrong with it, under plan and under apply."""
    for hostile in REFUSED[share::SHARES]:
        path = one_off.write(hostile.file, hostile.data)
        for command in (("plan",), ("apply", "--yes"))[: 1 + (hostile in REFUSED[::4])]:
            result = one_off(*command, "--source", str(path), *ONE_OFF)

            assert result.code == 6, hostile.name
            assert hostile.words in result.out, hostile.name

    assert drifted.counters().requests == 0


@pytest.mark.parametrize(
    "name", ["every row ragged", "a delimiter in the header alone", "quotes that are not doubled"]
)
def test_a_file_of_too_many_rows_that_are_out_is_6_with_no_write(
    one_off: Shell, drifted: Sandbox, name: str
) -> None:
    """Their share is a guard."""
    (hostile,) = (hostile for hostile in HOSTILE if hostile.name == name)
    header, _, rows = hostile.data.partition(b"\n")
    path = one_off.write("users.csv", header + b"\n" + rows * 30)

    result = one_off("apply", "--yes", "--source", str(path), *ONE_OFF)

    assert result.code == 6
    assert "quarantine" in result.out
    assert drifted.counters().writes == 0


def readable(hostile: Hostile) -> bool:
    """Whether a file gives some users."""
    return not hostile.words and bool(hostile.rows) and not hostile.settings


def test_the_lines_of_rows_that_are_out_are_in_the_report(one_off: Shell, drifted: Sandbox) -> None:
    """By their physical number."""
    for hostile in [hostile for hostile in HOSTILE if readable(hostile) and hostile.out][::3]:
        path = one_off.write(hostile.file, hostile.data)
        one_off("plan", "--source", str(path), *ONE_OFF)
        _, *lines = one_off.latest("quarantine.csv").read_text("utf-8").splitlines()
        found = [int(line.split(",")[0].strip('"')) for line in lines]

        assert set(hostile.out) <= set(found), hostile.name

    assert drifted.counters().writes == 0


@pytest.mark.parametrize(("data", "words"), [(b"", "is empty"), (b'id,name\nkiwi,"Ki', ":2: a quote")])
def test_standard_input_that_is_empty_or_cut_is_6(
    one_off: Shell, drifted: Sandbox, data: bytes, words: str
) -> None:
    """Through a real pipe, as from a program that died."""
    command = [sys.executable, "-m", "reconcile", "plan", "--source", "-", *ONE_OFF]
    done = subprocess.run(command, input=data, capture_output=True, check=False, cwd=one_off.folder)

    assert done.returncode == 6, done.stderr
    assert f"standard input{'' if words[0] == ':' else ' '}{words}" in done.stdout.decode()
    assert drifted.counters().requests == 0


def test_an_export_that_is_cut_in_a_row_deactivates_nobody(shell: Shell, drifted: Sandbox) -> None:
    """At every byte of its last line but the last cell's: the row is out, and nobody knows whom it meant."""
    lines = (SAMPLES / "users.csv").read_bytes().splitlines(keepends=True)
    lines = [lines[0], *(line for line in lines if re.match(rb"[Bb]ird[-_]\d+,([^,\"]*,){7}[^,\"]*$", line))]
    data = b"".join(lines)

    def because(length: int) -> str:
        shell.write("users.csv", data[:length])
        result = shell(
            "plan",
            "--json",
            "--set",
            "policy.unmanaged=deactivate",
            "--set",
            "policy.unmanaged_scope=all",
            "--accept-source",
        )
        assert result.code == 0
        assert result.json["plan"]["held"] >= result.json["plan"]["deactivate"] > 0
        return str(result.json["guards"]["deactivate"]["because"])

    assert "no usable uid" not in because(len(data))
    for length in range(len(data) - len(lines[-1]) + 1, data.rindex(b","), 9):
        assert re.fullmatch("1 source rows? .* no usable uid", because(length))

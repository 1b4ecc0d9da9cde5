"""The metrics of a run: what the report says, for a machine that looks after many jobs."""

import json
import re
import stat
from datetime import datetime
from typing import Any

import pytest

from reconcile.report.metrics import render_metrics
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import Profile, under_one_profile
from tests.report.builders import a_report

# The text format 0.0.4: a name, labels with \\, \" and \n escaped, and a number.
LINE = re.compile(r'(reconcile_[a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (-?[0-9.e+]+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
METRICS = ("--set", "run.metrics=metrics.prom")

Samples = dict[tuple[str, ...], float]


def samples(text: str) -> Samples:
    """Read the file: name and label values but the app's, to the value. Every family is described once."""
    found: Samples = {}
    described = re.findall(r"^# TYPE (\S+) gauge$", text, re.MULTILINE)
    for line in text.splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            labels = [value for name, value in LABEL.findall(match[2]) if name != "app_id"]
            found[match[1], *labels] = float(match[3])
    assert sorted({name for name, *_ in found}) == sorted(described)
    return found


def read(shell: Shell) -> Samples:
    """Read what the last run wrote."""
    return samples((shell.folder / "metrics.prom").read_text("utf-8"))


def test_the_metrics_say_what_the_report_says(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """Number for number, in a file that a collector may read."""
    result = shell("apply", "--yes", "--json", *METRICS)
    report, found = json.loads(result.out), read(shell)

    assert result.code == profile.done
    assert found["reconcile_exit_code",] == result.code
    assert found["reconcile_run_info", report["run_id"], "apply", report["verdict"]] == 1
    for name, counts in (("users", "drift"), ("changes", "outcomes")):
        known = {key: count for key, count in report[counts].items() if count is not None and "known_" not in key}
        assert {key: found[f"reconcile_{name}", key] for key in known} == known
    assert found["reconcile_planned_changes", "create"] == report["plan"]["create"] > 0
    assert found["reconcile_requests", "core"] == report["requests"]["core"]
    assert found["reconcile_budget_per_minute", "core"] > 0
    ended = datetime.fromisoformat(report["finished_at"]).timestamp()
    assert found["reconcile_last_run_timestamp_seconds",] == ended
    assert (found.get(("reconcile_last_success_timestamp_seconds",)) == ended) is (result.code == 0)
    assert stat.S_IMODE((shell.folder / "metrics.prom").stat().st_mode) == 0o644


PUTS = {"method": "PUT", "path": "/users/*"}
ENDS: dict[str, tuple[int, str, tuple[str, ...], dict[str, Any]]] = {
    "held": (5, "held", ("--set", "guards.update={percent=0, floor=0}"), {}),
    "incomplete": (
        4,
        "incomplete",
        (),
        {"kind": "status", "code": 400, "error": "ERR_BAD_REQUEST", **PUTS, "times": 1},
    ),
    "stopped": (8, "stopped", (), {"kind": "revoke_key", **PUTS, "nth": 3}),
}


@under_one_profile
@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_needs_a_person_is_said_everywhere_alike(
    shell: Shell, drifted: Sandbox, profile: Profile, end: str
) -> None:
    """In the exit code, the first line of the terminal, the report and the metrics; the last success stays."""
    code, verdict, flags, fault = ENDS[end]
    assert shell("plan", *METRICS).code == 0
    if fault:
        drifted.fault(**fault)
    result = shell("apply", "--yes", *METRICS, *flags)
    report, found = json.loads(shell.latest("report.json").read_text("utf-8")), read(shell)

    # Where some values cannot be cleared, held changes stand beside rejected ones.
    assert result.code in {code, 4 if end == "held" and profile.done else code}, result.out
    assert report["exit_code"] == result.code == found["reconcile_exit_code",]
    assert ("reconcile_run_info", report["run_id"], "apply", report["verdict"]) in found
    assert result.out.splitlines()[0].endswith(report["headline"])
    assert report["verdict"] == verdict or profile.done
    assert ("reconcile_last_success_timestamp_seconds",) not in found


@under_one_profile
def test_metrics_that_cannot_be_written_end_nothing(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """The log says so; the users are in step all the same."""
    result = shell("apply", "--yes", "--set", "run.metrics=no-such-folder/metrics.prom")

    assert result.code == profile.done
    assert "metrics.not_written" in result.err


def test_labels_are_escaped() -> None:
    """Whatever the app is called, it stays one label of one line."""
    found = samples(render_metrics(a_report('a"b\\c\nd'), None, None, {}))

    assert found["reconcile_exit_code",] == 4

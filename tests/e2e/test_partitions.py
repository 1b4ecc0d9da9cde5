"""Promises about large exports: in however many partitions a plan is made, and wherever, it is the same plan."""

import gzip
import json
from typing import Any

import msgspec

from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import StateReader
from tests.conftest import Shell
from tests.e2e.profiles import Profile

# What no two runs share.
_OWN = {
    "run_id",
    "created_at",
    "started_at",
    "finished_at",
    "timing",
    "peak_rss_mib",
    "usage",
    "requests",
    "forecast",
}


def left(shell: Shell) -> tuple[Any, ...]:
    """What the newest run left and learnt: plan, report, quarantine, baseline with its sketch; without what is its own."""
    header, *lines = gzip.decompress(shell.latest("plan.jsonl.gz").read_bytes()).splitlines()
    report = json.loads(shell.latest("report.json").read_text("utf-8"))
    own = {name: value for name, value in json.loads(header).items() if name not in _OWN}
    kept = {name: value for name, value in report.items() if name not in _OWN}
    kept["needs"] = [line.replace(report["run_id"], "RUN") for line in kept["needs"]]
    state = StateReader(shell.folder / "runs" / "state.sqlite")
    good = state.baseline()
    assert good is not None
    measured = msgspec.structs.replace(good, run_id="", order=0)
    plan = [json.dumps(own).encode(), *lines[:-1]]
    return plan, kept, shell.latest("quarantine.csv").read_bytes(), measured, state.quarantine()


def test_a_plan_is_the_same_in_any_number_of_partitions(shell: Shell, drifted: Sandbox) -> None:
    """To the byte, and so are the numbers of its report, and its quarantine."""
    assert shell("plan", "--quiet").code == 0
    assert shell("plan", "--quiet").code == 0
    whole = left(shell)

    result = shell("plan", "--quiet", "--partitions", "7", "--engine", "inline")
    assert result.code == 0, result.err
    assert left(shell) == whole


def test_an_apply_in_partitions_leaves_nobody_out_of_step(
    shell: Shell, drifted: Sandbox, profile: Profile
) -> None:
    """Nor a retry of what was not taken; what whole plans find afterwards is nothing more."""
    where = ("--partitions", "3", "--engine", "inline")
    assert shell("apply", "--yes", "--quiet", *where).code == profile.done
    run_id = json.loads(shell.latest("report.json").read_text("utf-8"))["run_id"]
    assert list((shell.folder / "runs").glob("*/.partitions")) == []

    sets = ("--set", "run.partitions=3", "--set", "run.engine=inline")
    assert shell("retry", run_id, "--yes", "--quiet", *sets).code == profile.done
    assert shell("plan", "--quiet", "--check").code == profile.done

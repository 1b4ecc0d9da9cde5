"""Promises about large exports: in however many partitions a plan is made, and wherever, it is the same plan."""

import gzip
import json
from typing import Any

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

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


def left(shell: Shell) -> tuple[list[bytes], dict[str, Any], bytes]:
    """What the newest run left: its plan without the trailer, its report, its quarantine; without what is its own."""
    header, *lines = gzip.decompress(shell.latest("plan.jsonl.gz").read_bytes()).splitlines()
    report = json.loads(shell.latest("report.json").read_text("utf-8"))
    own = {name: value for name, value in json.loads(header).items() if name not in _OWN}
    kept = {name: value for name, value in report.items() if name not in _OWN}
    kept["needs"] = [line.replace(report["run_id"], "RUN") for line in kept["needs"]]
    return [json.dumps(own).encode(), *lines[:-1]], kept, shell.latest("quarantine.csv").read_bytes()


def test_a_plan_is_the_same_in_any_number_of_partitions(shell: Shell, drifted: Sandbox) -> None:
    """To the byte, and so are the numbers of its report, and its quarantine."""
    assert shell("plan", "--quiet").code == 0
    assert shell("plan", "--quiet").code == 0
    whole = left(shell)

    for number in ("1", "2", "7"):
        result = shell("plan", "--quiet", "--partitions", number, "--engine", "inline")
        assert result.code == 0, result.err
        assert left(shell) == whole

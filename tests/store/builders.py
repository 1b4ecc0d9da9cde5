"""Values that the tests of this room are built from, and a way to start a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from reconcile.core.guards import GuardClass, GuardVerdict
from reconcile.core.plan import Action, Change, Forecast, PlanHeader, PlanSource


def a_change(seq: int = 1, **but: Any) -> Change:
    """An update of one name."""
    change = Change(
        seq=seq,
        uid=f"plum-{seq}",
        action=Action.UPDATE,
        guard_class=GuardClass.UPDATE,
        fields=("name",),
        before={"name": "Plum"},
        desired={"name": "Damson", "tags": '["a","b"]', "metadata.n": "1"},
        fingerprint="0123456789abcdef",
        source_row=seq + 1,
    )
    return msgspec.structs.replace(change, **but)


def a_header(**but: Any) -> PlanHeader:
    """The header of a plan with a held class."""
    header = PlanHeader(
        run_id="20261123T021500Z-3f9a",
        app_id="orchard",
        host="127.0.0.1:8055",
        created_at="2026-11-23T02:15:00+00:00",
        fields=("name", "tags"),
        visible=("name",),
        declared={"fields.name": "column 'full_name'"},
        settings={"source": "ab", "fields": "cd"},
        source=PlanSource("users.csv", 3, "00ff", None),
        counts={"create": 0, "update": 3, "reactivate": 0, "deactivate": 0, "held": 0},
        guards=(GuardVerdict("update", 3, 10, 2, "held", "reconcile apply X --release update=3", "over"),),
        forecast=Forecast(6, 0, 6, 1),
    )
    return msgspec.structs.replace(header, **but)


@contextmanager
def a_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start Python code as a process of its own, whose stdout is read; it is killed at the end."""
    argv = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """Give the next line that a process printed."""
    assert process.stdout is not None
    return process.stdout.readline().strip()

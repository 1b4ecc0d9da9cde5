"""The job as functions: what the commands do, and values in place of exit codes."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import structlog

import reconcile
from reconcile import ChangeRow, NotDone, ReconcileError, apply, plan
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import Profile, under_one_profile

PAGE = Path(__file__).parent.parent.parent / "docs" / "library.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_a_plan_and_its_apply(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """The plan writes nothing, what is applied is the plan, and afterwards there is nothing left to do."""
    planned = plan("reconcile.toml")
    writes = drifted.counters().writes
    applied = apply(planned.run_id, "reconcile.toml")
    changes = list(applied.changes())

    assert writes == 0
    assert planned.is_done
    assert all(change.outcome is None for change in planned.changes())
    assert applied.report.exit_code == profile.done
    assert {change.uid for change in changes if change.outcome != "applied"} == profile.stuck_in_samples
    assert [change.uid for change in changes] == [change.uid for change in planned.changes()]
    assert plan("reconcile.toml").report.verdict == profile.quiet


@under_one_profile
def test_it_is_the_same_as_the_command(shell: Shell, drifted: Sandbox) -> None:
    """The same counts, the same files."""
    told = shell("plan", "--json").json
    planned = plan()

    for part in ("drift", "plan"):
        found = getattr(planned.report, part)
        assert {name: getattr(found, name) for name in told[part]} == told[part]
    assert {path.name for path in planned.folder.iterdir()} == {
        path.name for path in (shell.folder / "runs" / told["run_id"]).iterdir()
    }


@under_one_profile
def test_settings_go_above_the_file_in_either_form(shell: Shell, drifted: Sandbox) -> None:
    """Dotted or as tables, with values of their own types."""
    dotted = plan(settings={"run.dir": "a", "policy.protect": ["bird-*"], "guards.min_rows": 2})
    tables = plan(settings={"run": {"dir": "b"}, "policy": {"protect": ["bird-*"]}, "guards": {"min_rows": 2}})

    assert dotted.report.drift == tables.report.drift
    assert (dotted.report.drift.protected or 0) > 50
    assert (dotted.folder.parent.name, tables.folder.parent.name) == ("a", "b")


@under_one_profile
def test_a_frame_has_a_row_a_change(shell: Shell, drifted: Sandbox) -> None:
    """With the columns of a row, also where there is none."""
    planned = plan()
    frame = planned.frame()
    renamed = frame[frame["uid"] == "bird-4"].iloc[0]
    empty = plan(settings={"policy.protect": ["*"], "run.dir": "other"}).frame()

    assert len(frame) == planned.report.plan.total
    assert renamed["before"]["name"].endswith("(old)")
    assert list(frame.columns) == list(empty.columns) == list(ChangeRow.__struct_fields__)
    assert len(empty) == 0


@under_one_profile
def test_what_keeps_a_run_from_opening_is_raised_and_the_rest_reported(shell: Shell, drifted: Sandbox) -> None:
    """With the words and the remedy that the command has."""
    with pytest.raises(ReconcileError, match=r"source\.locatoin") as unknown:
        plan(settings={"source.locatoin": "users.csv"})
    with pytest.raises(ReconcileError, match="there is no API key"):
        plan(environ={key: value for key, value in os.environ.items() if key != "COMETCHAT_API_KEY"})
    with pytest.raises(ReconcileError, match="source is no setting"):
        plan(settings={"source": "users.csv"})
    absent = apply(settings={"source.location": "nowhere.csv"})
    with pytest.raises(NotDone) as not_done:
        absent.check()

    assert "location" in unknown.value.hint
    assert (absent.report.exit_code, not_done.value.exit_code) == (6, 6)
    assert absent.is_done is False
    assert list(absent.changes()) == []
    assert drifted.counters().writes == 0


@under_one_profile
def test_the_flags_of_the_command_hold(shell: Shell, drifted: Sandbox) -> None:
    """A canary, a size that was expected, a state that has to be there, a class that is released."""
    no_creates = {"guards.create": {"floor": 0, "percent": 0}}
    with pytest.raises(ReconcileError, match="--require-state"):
        plan(require_state=True)
    refused = plan(expect_rows=7)
    believed = plan(expect_rows=7, accept_source=True)
    held = plan(settings=no_creates)
    canary = apply(held.run_id, settings=no_creates, limit=2, release={"create": 99})

    assert (refused.report.exit_code, believed.report.exit_code) == (6, 0)
    assert held.report.guards["create"].verdict == "held"
    assert canary.report.verdict == "canary"
    assert drifted.counters().writes == 2


@under_one_profile
def test_nothing_is_printed_and_the_log_goes_where_the_host_logs(
    shell: Shell, drifted: Sandbox, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under `reconcile`, and with no key in it."""
    structlog.reset_defaults()
    with caplog.at_level(logging.INFO, "reconcile"):
        plan()
    streams = capsys.readouterr()
    events = [record.getMessage() for record in caplog.records if record.name.startswith("reconcile")]

    assert (streams.out, streams.err) == ("", "")
    assert any('"event": "run.finished"' in event for event in events)
    assert drifted.api_key not in "".join(events)


@under_one_profile
def test_a_host_that_has_set_structlog_up_gets_the_events(shell: Shell, drifted: Sandbox) -> None:
    """In its own form."""
    seen: list[str] = []

    def keep(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        seen.append(str(event["event"]))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    plan()

    assert {"run.started", "run.finished"} <= set(seen)


@under_one_profile
def test_the_name_of_the_package_loads_nothing_heavy(shell: Shell) -> None:
    """`import reconcile` alone; what it offers is there all the same."""
    code = "import sys, reconcile; print({'pandas', 'httpx', 'structlog'} & set(sys.modules)); reconcile.plan"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
    assert all(getattr(reconcile, name) is not None for name in reconcile.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = reconcile.nonsense


@under_one_profile
def test_the_notebook_of_the_page_runs(shell: Shell, drifted: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Line by line."""
    names: dict[str, object] = {}
    exec(EXAMPLES[0], names)  # noqa: S102 - the page is ours
    exec(EXAMPLES[1], names)  # noqa: S102 - the page is ours

    assert "to create" in capsys.readouterr().out
    assert isinstance(names["roles"], pd.DataFrame)
    assert len(names["roles"]) > 0


STAND_IN = """
def task(function=None, **_):
    return function or task

def dag(**_):
    return lambda function: function
"""


@under_one_profile
def test_the_airflow_tasks_of_the_page_run(
    shell: Shell, drifted: Sandbox, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for Airflow, which calls each task where it stands."""
    (shell.folder / "airflow").mkdir()
    shell.write("airflow/__init__.py", "")
    shell.write("airflow/sdk.py", STAND_IN)
    monkeypatch.syspath_prepend(shell.folder)
    if profile.stuck_in_samples:
        with pytest.raises(NotDone, match="changes made"):
            exec(EXAMPLES[2], {})  # noqa: S102 - the page is ours
    else:
        exec(EXAMPLES[2], {})  # noqa: S102 - the page is ours
    for name in ("airflow", "airflow.sdk"):
        monkeypatch.delitem(sys.modules, name)

    assert plan().report.verdict == "in_step"

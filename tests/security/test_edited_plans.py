"""A plan that was edited by hand, with a trailer that fits: what no run plans is refused before the first write."""

import gzip
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

Lines = list[dict[str, Any]]


def read(path: Path) -> Lines:
    """The header and the changes of a plan."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[:-1]]


def write(path: Path, lines: Lines) -> None:
    """Write a plan with the right count and checksum behind it."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    trailer = {"changes": len(lines) - 1, "sha256": sha256(body).hexdigest()}
    path.write_bytes(gzip.compress(body + json.dumps(trailer).encode() + b"\n"))


def _change(lines: Lines, action: str = "update", kind: str = "update") -> dict[str, Any]:
    return next(line for line in lines[1:] if (line["action"], line["class"]) == (action, kind))


def _becomes(action: str, kind: str) -> Callable[[Lines], None]:
    """Make the last change another one, and count it as the guards would have."""

    def edit(lines: Lines) -> None:
        header, last = lines[0], lines[-1]
        for at, number in ((last["class"], -1), (kind, 1)):
            guard = next(guard for guard in header["guards"] if guard["guard"] == at)
            guard["measured"] += number
        header["counts"][last["action"]] -= 1
        header["counts"][action] += 1
        last |= {"action": action, "class": kind, "fields": [], "before": {}, "desired": {}, "reasons": []}

    return edit


EDITS: dict[str, tuple[Callable[[Lines], object], str]] = {
    "a protected user": (lambda lines: _change(lines).update(uid="app_system"), "app_system is protected (policy.protect)"),
    "a protected role": (
        lambda lines: _change(lines, kind="role_change").update(desired={"role": "@agentic"}),
        "a protected role (policy.protect_roles)",
    ),
    "a uid in capitals": (lambda lines: _change(lines).update(uid="Wren"), "'Wren' is no uid"),
    "a uid that is a path": (lambda lines: _change(lines).update(uid="../roles"), "'../roles' is no uid"),
    "a reserved uid": (lambda lines: _change(lines).update(uid="null"), "'null' is no uid"),
    "a deactivation that the policy forbids": (_becomes("deactivate", "deactivate"), "the policy has no deactivate"),
    "a reactivation that the policy forbids": (_becomes("reactivate", "reactivate"), "the policy has no reactivate"),
    "a lifted ban": (_becomes("reactivate", "reactivate_foreign"), "the policy has no reactivate"),
    "an action of another class": (lambda lines: lines[-1].update({"class": "create"}), "is not of the class create"),
    "a role change that counts as an update": (
        lambda lines: _change(lines).update(fields=["role"], before={}, desired={"role": "moderator"}),
        "it writes what is not of the class update",
    ),
    "an action that the guards never saw": (
        lambda lines: lines.append({**lines[-1], "seq": lines[-1]["seq"] + 1}), "line 1: the guards saw",
    ),
    "guards that saw another number": (lambda lines: lines[0]["guards"][0].update(measured=0), "line 1: the guards saw"),
    "another count": (lambda lines: lines[0]["counts"].update(update=1), "line 1: the counts are not"),
    "a guard that does not exist": (lambda lines: lines[0]["guards"][0].update(guard="delete"), "its guards are not"),
    "a verdict that does not exist": (lambda lines: lines[0]["guards"][0].update(verdict="fine"), "a verdict that does not exist"),
    "a plan without a time zone": (lambda lines: lines[0].update(created_at="2026-11-23T02:15:00"), "no time with a time zone"),
    "no time": (lambda lines: lines[0].update(created_at="now"), "no time with a time zone"),
    "a source without a time zone": (
        lambda lines: lines[0]["source"].update(as_of="2026-11-23T02:15:00"), "source.as_of is no time with a time zone",
    ),
    "a number twice": (lambda lines: lines[-1].update(seq=lines[-2]["seq"]), "its number is not above"),
    "a number of nothing": (lambda lines: lines[1].update(seq=0), "line 2: its number is not above"),
    "a field that is not managed": (
        lambda lines: _change(lines).update(fields=["statusMessage"], desired={"statusMessage": "x"}), "does not manage",
    ),
    "a field that the settings do not map": (lambda lines: lines[0]["fields"].append("statusMessage"), "do not map statusMessage"),
    "a field of the extensions": (lambda lines: lines[0]["fields"].append("metadata.@private"), "no field that can be written"),
    "no field at all": (lambda lines: lines[0]["fields"].append("password"), "no field that can be written"),
    "a name without end": (
        lambda lines: _change(lines).update(fields=["name"], before={}, desired={"name": "x" * 101}), "name is longer than 100",
    ),
    "a plan that takes back a run that was none": (lambda lines: lines[0].update(undoes="20260101T000000Z-aaaa"), "did not write"),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_what_no_run_plans_is_refused(shell: Shell, drifted: Sandbox, edit: str) -> None:
    """With the line and the reason, and nothing is written."""
    shell("plan")
    path = shell.latest("plan.jsonl.gz").resolve()
    lines = read(path)
    change, words = EDITS[edit]
    change(lines)
    write(path, lines)
    result = shell("apply", path.parent.name, "--yes", "--verbose")

    assert result.code == 2, result
    assert words in result.out + result.err
    assert "line " in result.out + result.err
    assert "Traceback" not in result.err
    assert drifted.counters().writes == 0


def test_a_run_that_goes_on_reads_its_own_plan_in_the_same_way(shell: Shell, drifted: Sandbox) -> None:
    """The file lay there meanwhile."""
    assert shell("apply", "--yes", "--limit", "1").code == 0
    path = shell.latest("plan.jsonl.gz").resolve()
    lines = read(path)
    written = drifted.counters().writes
    EDITS["a protected user"][0](lines)
    write(path, lines)
    result = shell("apply", path.parent.name, "--yes")

    assert result.code == 2
    assert drifted.counters().writes == written


def test_a_plan_that_was_read_and_written_again_is_the_same_plan(shell: Shell, drifted: Sandbox) -> None:
    """An editor that changes nothing of it does no harm."""
    shell("plan")
    path = shell.latest("plan.jsonl.gz").resolve()
    write(path, read(path))

    assert shell("apply", path.parent.name, "--yes").code in {0, 4}
    assert drifted.counters().writes > 0


def test_a_user_who_was_forgotten_is_in_no_plan_that_lay_elsewhere(shell: Shell, drifted: Sandbox) -> None:
    """`forget` rewrites the plans of the run directory; a copy of one is refused."""
    shell("plan")
    copy = shell.write("copy.jsonl.gz", shell.latest("plan.jsonl.gz").read_bytes())
    uid = read(copy)[1]["uid"]
    assert shell("forget", uid, "--yes").code == 0
    result = shell("apply", "copy.jsonl.gz", "--yes")

    assert result.code == 2
    assert f"line 2: {uid} was forgotten" in result.out + result.err
    assert drifted.counters().writes == 0

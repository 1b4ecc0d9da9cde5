"""Promises about the plan as a file."""

import gzip
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcile.core.guards import GuardClass
from reconcile.core.plan import Action
from reconcile.errors import PlanError
from reconcile.store.planfile import PlanFile, write_plan
from tests.store.builders import a_change, a_header

CHANGES = [
    a_change(1, action=Action.CREATE, guard_class=GuardClass.CREATE, before={}, fingerprint=None),
    a_change(2, before={"name": None}, desired={"name": "Quince\n\u202e\U0001f352", "tags": None}),
    a_change(3, guard_class=GuardClass.CLEAR, fields=("tags",), before={"tags": '["x"]'}, desired={"tags": None}),
    a_change(4, action=Action.DEACTIVATE, guard_class=GuardClass.DEACTIVATE, fields=(), before={}, desired={}),
]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of four changes."""
    path = tmp_path / "plan.jsonl.gz"
    write_plan(path, a_header(), CHANGES)
    return path


def test_what_goes_in_comes_out(plan: Path) -> None:
    """Header, changes and their number."""
    read = PlanFile(plan)

    assert read.header == a_header()
    assert list(read.changes()) == list(read.changes()) == CHANGES
    assert read.count == 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    st.dictionaries(st.sampled_from(["name", "avatar", "role"]), st.none() | st.text(st.characters(codec="utf-8")))
)
def test_any_text_comes_out_as_it_went_in(tmp_path: Path, values: dict[str, str | None]) -> None:
    """Line breaks, quotes, everything that Unicode has."""
    change = a_change(fields=tuple(values), before=values, desired=values)
    write_plan(tmp_path / "plan", a_header(), [change])

    assert list(PlanFile(tmp_path / "plan").changes()) == [change]


def test_an_empty_plan_is_a_plan(tmp_path: Path) -> None:
    """Nothing to change is a finding."""
    assert write_plan(tmp_path / "plan", a_header(), []).total() == 0
    assert list(PlanFile(tmp_path / "plan").changes()) == []


def test_writing_counts_by_class(tmp_path: Path) -> None:
    """As the changes go by."""
    assert write_plan(tmp_path / "plan", a_header(), CHANGES) == {
        "create": 1,
        "update": 1,
        "clear": 1,
        "deactivate": 1,
    }


def test_the_same_plan_is_the_same_bytes(plan: Path, tmp_path: Path) -> None:
    """Under another name and at another time too."""
    write_plan(tmp_path / "other", a_header(), iter(CHANGES))

    assert (tmp_path / "other").read_bytes() == plan.read_bytes()


def test_a_plan_that_fails_half_way_leaves_the_old_one(plan: Path) -> None:
    """The only copy is not given up for half of another."""
    before = plan.read_bytes()

    def broken() -> Any:
        yield a_change(1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_plan(plan, a_header(), broken())

    assert plan.read_bytes() == before


# Damage


def test_a_plan_cut_anywhere_is_refused(plan: Path) -> None:
    """At every byte."""
    whole = plan.read_bytes()
    for end in range(len(whole)):
        plan.write_bytes(whole[:end])
        with pytest.raises(PlanError):
            PlanFile(plan)


def test_a_plan_with_any_byte_turned_is_refused(plan: Path) -> None:
    """But for those of the gzip header that say nothing about the plan."""
    whole = plan.read_bytes()
    for at in (*range(4), *range(10, len(whole))):
        plan.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with pytest.raises(PlanError):
            PlanFile(plan)


Lines = list[bytes]
DAMAGE: dict[str, Callable[[Lines], Lines]] = {
    "an edited change": lambda lines: [lines[0], lines[1].replace(b"Damson", b"Sloe"), *lines[2:]],
    "an edited header": lambda lines: [lines[0].replace(b"orchard", b"meadow"), *lines[1:]],
    "a change left out": lambda lines: [*lines[:2], *lines[3:]],
    "a change twice": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "changes in another order": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "no trailer": lambda lines: lines[:-1],
    "the trailer twice": lambda lines: [*lines, lines[-1]],
    "something after the trailer": lambda lines: [*lines, b"{}\n"],
    "a wrong count": lambda lines: [*lines[:-1], lines[-1].replace(b'"changes":4', b'"changes":3')],
    "a wrong sum": lambda lines: [*lines[:-1], lines[-1].replace(b'"sha256":"', b'"sha256":"0')],
    "nothing": lambda _: [],
    "an empty line": lambda _: [b"\n"],
    "no text": lambda lines: [b"\xff\xfe\n", *lines[1:]],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_plan_that_was_changed_is_refused(plan: Path, kind: str) -> None:
    """What is applied is what was reviewed."""
    lines = gzip.decompress(plan.read_bytes()).splitlines(keepends=True)
    plan.write_bytes(gzip.compress(b"".join(DAMAGE[kind](lines))))

    with pytest.raises(PlanError):
        PlanFile(plan)


@pytest.mark.parametrize(
    "more", [b"garbage", gzip.compress(b"more\n"), gzip.compress(b"{}")], ids=["bytes", "a line", "a text"]
)
def test_a_plan_with_something_behind_it_is_refused(plan: Path, more: bytes) -> None:
    """In the same stream or after it."""
    plan.write_bytes(plan.read_bytes() + more)

    with pytest.raises(PlanError):
        PlanFile(plan)


def sealed(lines: list[dict[str, Any]]) -> bytes:
    """Make a plan file of any lines, with a trailer that fits them."""
    body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    trailer = {"changes": len(lines) - 1, "sha256": sha256(body).hexdigest()}
    return gzip.compress(body + json.dumps(trailer).encode() + b"\n")


@pytest.mark.parametrize("form", [0, 2, 99])
def test_a_plan_of_another_format_is_refused(tmp_path: Path, form: int) -> None:
    """Even one that is whole."""
    path = tmp_path / "plan"
    path.write_bytes(sealed([msgspec.to_builtins(a_header(format=form))]))
    with pytest.raises(PlanError) as refused:
        PlanFile(path)

    assert f"format {form}" in refused.value.message


@pytest.mark.parametrize("content", [b"", b"not gzip", b"\x1f\x8b", b"{}\n"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    """With the way to a new one."""
    (tmp_path / "plan").write_bytes(content)
    with pytest.raises(PlanError) as refused:
        PlanFile(tmp_path / "plan")

    assert "reconcile plan" in refused.value.hint


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A folder is none either."""
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(PlanError):
            PlanFile(path)


def test_a_sealed_plan_with_a_change_that_is_none_is_refused(tmp_path: Path) -> None:
    """Whoever sealed it: no action is made up, and it is no bug of ours."""
    change = {"seq": 1, "uid": "plum", "action": "delete", "class": "deactivate"}
    (tmp_path / "plan").write_bytes(sealed([msgspec.to_builtins(a_header()), change]))

    with pytest.raises(PlanError):
        list(PlanFile(tmp_path / "plan").changes())

"""Promises about a store that is no folder: the plan is the same, what is amiss is said in words, and nothing is left there."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pytest

from reconcile.errors import ExitCode, Interrupted
from reconcile.partitions.engines import Inline
from reconcile.partitions.shelves import Shared
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.test_partitions import left
from tests.partitions.worlds import draw, in_partitions, whole
from tests.scale import dice

STORE = ("--partitions", "3", "--engine", "inline", "--set", "run.store=memory://birds/nest")


class Refused(Exception):
    """What the library of a store raises: of no kind that we know."""


@pytest.fixture
def memory() -> Iterator[Any]:
    """A store of objects that this process holds: it has no folders, and its files take their places at once."""
    if not os.environ.get("CI"):
        pytest.importorskip("fsspec")
    from fsspec.implementations.memory import MemoryFileSystem  # noqa: PLC0415 - as above

    yield MemoryFileSystem
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def refused(*_args: object, **_named: object) -> NoReturn:
    """Let nobody in."""
    raise Refused("who are you?")


def test_a_store_comes_to_the_same(memory: Any) -> None:
    """As memory does, and nothing but whole tables is there at the end."""
    world = draw(dice("store"), 60)

    assert in_partitions(world, Shared("memory://birds/nest"), Inline(), 3) == whole(world)
    assert {Path(name).suffix for name in memory.store} == {".parquet"}


def test_a_plan_over_a_store_is_the_same_and_leaves_nothing_there(
    shell: Shell, drifted: Sandbox, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything made there that files do not need: a bucket, say, whose name was misspelt."""
    made: list[str] = []
    move = memory.mv

    def moved(self: Any, aside: str, path: str) -> None:
        made.append(path)
        move(self, aside, path)

    monkeypatch.setattr(memory, "makedirs", refused)
    monkeypatch.setattr(memory, "mv", moved)
    for _ in range(2):
        assert shell("plan", "--quiet").code == 0
    expected = left(shell)

    result = shell("plan", "--quiet", *STORE)
    assert result.code == 0, result.err
    assert left(shell) == expected
    assert all("/birds/nest/reconcile-2" in name for name in made)
    assert made
    assert not memory.store
    assert not list((shell.folder / "runs").glob("*/.partitions"))


def test_a_store_that_does_not_let_us_in_is_no_bug(
    shell: Shell, drifted: Sandbox, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its library raises; nothing was written, and the next run comes back for what may be left."""
    with monkeypatch.context() as patch:
        patch.setattr(memory, "open", refused)
        patch.setattr(memory, "rm", refused)
        result = shell("plan", "--json", "--quiet", *STORE)

    error = result.json["error"]
    assert result.code == 2, result.err
    assert error["message"].endswith("cannot be written or read: who are you?")
    assert "the environment" in error["hint"]
    Shared(f"memory://birds/nest/reconcile-{result.json['run_id']}").write(
        "source", pa.table({"uid": ["somebody"]})
    )
    assert shell("plan", "--quiet", *STORE).code == 0
    assert not memory.store


def test_a_signal_while_a_store_is_asked_is_no_trouble_of_the_store(
    shell: Shell, drifted: Sandbox, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends as interrupted, and not with a hint about the store."""

    def interrupted(*_args: object, **_named: object) -> NoReturn:
        raise Interrupted(ExitCode.SIGINT)

    monkeypatch.setattr(memory, "open", interrupted)

    assert shell("plan", "--quiet", *STORE).code == ExitCode.SIGINT


@pytest.mark.parametrize(
    ("url", "words"), [("s3://birds/nest", "Install s3fs"), ("s4://birds/nest", "Protocol not known: s4")]
)
def test_a_store_says_which_package_it_lacks(
    shell: Shell, drifted: Sandbox, memory: Any, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    """Before anything is asked of CometChat."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    result = shell("plan", "--json", "--quiet", *STORE[:4], "--set", f"run.store={url}")

    assert result.code == 2
    assert result.json["error"]["message"].startswith(f"run.store cannot be used: {words}")
    assert "here and where the workers are" in result.json["error"]["hint"]
    assert drifted.log() == []

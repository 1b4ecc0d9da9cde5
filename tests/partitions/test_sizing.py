"""Promises about when an export is compared in partitions, and in how many."""

from pathlib import Path

import pytest

from reconcile.partitions import sizing
from reconcile.partitions.sizing import how_many, most_in_memory
from reconcile.settings import Run

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "_memory", lambda: 8 * GIB)
    monkeypatch.setattr(sizing, "workers_here", lambda: 4)


def test_what_half_of_the_memory_holds_stays_there() -> None:
    """320 bytes a user, and no column longer than Arrow puts together."""
    assert most_in_memory(Run()) == (4 * GIB // 320, 1_500_000_000)


def test_who_names_a_number_gets_it_whatever_the_size() -> None:
    """Also for ten rows."""
    assert most_in_memory(Run(partitions=7)) == (-1, -1)
    assert how_many(Run(partitions=7), 1_000_000_000) == 7


@pytest.mark.parametrize(
    ("known", "number"), [(0, 64), (100_000_000, 64), (400_000_000, 239), (1_000_000_000, 500)]
)
def test_there_are_as_many_as_leave_each_worker_its_share(known: int, number: int) -> None:
    """Sixteen for each processor while nobody knows more, more where the last export was larger, and 500 at most."""
    assert how_many(Run(), known) == number


def test_a_container_counts_for_what_it_may_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The least of the machine and of what its limits say; "max" says nothing."""
    monkeypatch.undo()
    limit, none = tmp_path / "memory.max", tmp_path / "none"
    limit.write_text("1000000\n")
    none.write_text("max\n")
    monkeypatch.setattr(sizing, "_CGROUPS", (str(none), str(limit), str(tmp_path / "absent")))

    assert most_in_memory(Run())[0] == 1_000_000 // 2 // 320

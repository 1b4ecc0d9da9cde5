"""Promises about partitions: whatever stands on either side, in any number of them the same comes out."""

from pathlib import Path

import pytest

from reconcile.partitions.engines import Inline
from tests.partitions.worlds import draw, in_partitions, whole
from tests.scale import dice, how_many


@pytest.mark.parametrize("case", range(how_many(4, soak=2_000)))
def test_any_number_of_partitions_comes_to_the_same(tmp_path: Path, case: int) -> None:
    """The rows in quarantine, every number, every name, and the changes to the byte and in their order."""
    world = draw(dice(f"partitions {case}"), 120)
    expected = whole(world)

    assert expected.changes
    for number in (1, 2, 7):
        assert in_partitions(world, tmp_path / str(number), Inline(), number) == expected

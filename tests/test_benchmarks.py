"""The comparison with what people would use instead: what of it needs nothing more to be installed finds the same here."""

from pathlib import Path

import pytest

from benchmarks.others import CONTENDERS, digest, write

HERE = [name for name, (environment, *_) in CONTENDERS.items() if not environment]


@pytest.mark.parametrize("name", HERE)
def test_each_contender_finds_what_was_put_there(tmp_path: Path, name: str) -> None:
    """Seconds are compared of those alone who did the work."""
    wanted = write(tmp_path, 300)

    assert digest(CONTENDERS[name][1]()(tmp_path)) == wanted

"""Bytes that a fuzzer finds by looking which lines of the readers they reach."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.scale import how_many, seed

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.skipif(not find_spec("atheris"), reason="the fuzzer atheris comes for Linux on x86-64 alone")
def test_no_bytes_are_misread(tmp_path: Path) -> None:
    """Refused, or every record is read or out, as Python's own readers see it; what failed is in the message."""
    runs = how_many(2_000, soak=1_000_000)
    flags = [
        f"-runs={runs}",
        f"-seed={seed() + 1}",
        "-max_len=400",
        "-verbosity=0",
        f"-artifact_prefix={tmp_path}/",
    ]
    found = tmp_path / "corpus"
    found.mkdir()
    fuzzed = subprocess.run(
        [sys.executable, "-m", "tests.sources.fuzz", str(found), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert fuzzed.returncode == 0, fuzzed.stderr[-4000:]
    assert len(list(found.iterdir())) > 10, "nothing led anywhere"

"""What a test needs of the machine: where it is missing the test is skipped and says how to get it, but never in CI."""

import os
import shutil
import subprocess
from typing import NoReturn

import pytest

__all__ = ["lacking", "needed", "tracer"]


def lacking(words: str) -> NoReturn:
    """Skip the test with these words; in CI, where everything is installed, fail it."""
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


def needed(program: str) -> str:
    """Give the path of a program, which Debian has in a package of that name."""
    path = shutil.which(program)
    if path is None:
        lacking(f"{program} is not installed; on Debian: apt-get install --no-install-recommends {program}")
    return path


def tracer() -> str:
    """Give the path of strace; where processes may not be traced, as in some containers, the test is skipped."""
    path = needed("strace")
    if subprocess.run([path, "-o", os.devnull, "true"], check=False, capture_output=True).returncode:
        pytest.skip("processes may not be traced here")
    return path

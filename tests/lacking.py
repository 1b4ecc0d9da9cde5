"""What a test needs of the machine: where it is missing the test is skipped and says how to get it, but never in CI."""

import os
import shutil
from typing import NoReturn

import pytest

__all__ = ["lacking", "needed"]


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

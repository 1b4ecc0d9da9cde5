"""
The sandbox for your own tests: the handle, and a pytest fixture where pytest is installed.

Import `cometchat_sandbox` into a conftest.py, and a test that asks for it by name gets a fresh, empty app.
"""

from collections.abc import Iterator
from importlib.util import find_spec

from reconcile.sandbox.handle import Sandbox, running_sandbox

__all__ = ["Sandbox", "running_sandbox"]

if find_spec("pytest"):
    import pytest

    __all__ += ["cometchat_sandbox"]

    @pytest.fixture
    def cometchat_sandbox() -> Iterator[Sandbox]:
        """
        Serve an empty app for the length of one test.
        """
        with running_sandbox() as sandbox:
            yield sandbox

"""Fixtures of the tests that kill runs: one sandbox and one warm parent for all of a worker's."""

from collections.abc import Iterator

import pytest

from reconcile.sandbox.testing import Sandbox, running_sandbox
from tests.kills.scene import Scene
from tests.kills.warm import Warm


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The scene that all tests of a worker share."""
    with running_sandbox(app_id="demo") as running:
        warm = Warm(tmp_path_factory.mktemp("streams"))
        yield Scene(running, warm, tmp_path_factory.mktemp("runs"))
        warm.stop()


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """The scene in good weather."""
    yield stage
    stage.warm.clear()
    stage.sandbox.clear_faults()


@pytest.fixture
def sandbox(scene: Scene) -> Sandbox:
    """The look-alike of the scene."""
    return scene.sandbox

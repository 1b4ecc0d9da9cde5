"""`--redact` on the screen and in the log: nobody who looks over a shoulder, or reads a CI's log, learns who is in the app."""

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Result, Shell
from tests.e2e.profiles import PROFILES, Profile
from tests.e2e.small_world import DIRECTORY, EXPORT, flags
from tests.e2e.test_redaction import _texts, files_of, told

# What every app has, and what the log says of itself.
OUR_WORDS = {"default", "same", "new", "Same", "Before", "After"}
LOUD = ["--verbose", "--log-format"]


@pytest.fixture
def profile() -> Profile:
    """What is hidden does not depend on how the service answers."""
    return PROFILES["observed"]


def _names() -> set[str]:
    cells = {cell for line in EXPORT.splitlines()[1:] for cell in line.split(",")}
    found = cells | {part for cell in cells for part in cell.split("|")} | set(_texts(DIRECTORY))
    return {text for text in found if len(text) > 1} - OUR_WORDS | {"falconer", "hawk"}


def _assert_nameless(shell: Shell, *results: Result) -> None:
    said = {
        f"{number}, {name}": text
        for number, one in enumerate(results)
        for name, text in (("stdout", one.out), ("stderr", one.err))
    }
    for folder in (shell.folder / "runs").glob("2*"):
        said |= files_of(folder)
    names = _names()
    found = sorted({(where, name) for where, text in said.items() for name in names if told(name, text)})
    assert found == []


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_night_and_its_way_back(world: Shell, sandbox: Sandbox, form: str) -> None:
    """All changes of the plan are shown, a change fails, is tried again, and all is undone beside what another did."""
    world.write("users.csv", EXPORT.replace("premium", "hawk"))
    roles = ["--set", 'roles.map={ hawk = "falconer" }', "--set", "roles.create_missing=true"]
    loud = [*LOUD, form, "--redact", *flags(), *roles]
    planned = world("plan", "--show", "500", *loud)
    sandbox.fault("status", code=400, error="ERR_BAD_REQUEST", method="PUT", path="/users/renamed", times=1)
    applied = world("apply", "--yes", *loud)
    run_id = (world.folder / "runs" / "latest").resolve().name
    retried = world("retry", run_id, "--yes", *loud)
    sandbox.load_users([{"uid": "missing-1", "name": "Missing one", "role": "premium"}])
    undone = world("undo", run_id, "--yes", *LOUD, form, "--redact")
    shown = world("report", run_id, "--show", "500", "--redact")

    assert "user-" in planned.out
    assert "role.created" in applied.err
    assert "undo.left" in undone.err
    assert applied.code == 4, applied.out
    assert {retried.code, undone.code} <= {0, 4, 5}, retried.out + undone.out
    _assert_nameless(world, planned, applied, retried, undone, shown)


@pytest.mark.parametrize(
    "flag",
    [
        ["--set", 'guards.sentinels=["nobody-here","renamed"]'],
        ["--map", "name=plum"],
    ],
    ids=["a sentinel", "a column"],
)
def test_a_run_that_ends_early(world: Shell, sandbox: Sandbox, flag: list[str]) -> None:
    """Why it ended may name somebody; `reconcile report` tells it on this machine."""
    ended = world("plan", *LOUD, "json", "--redact", *flags(), *flag)

    assert ended.code == 6
    assert not told("nobody-here", ended.out + ended.err), ended.err
    _assert_nameless(world, ended)

"""What is told over several nights: who flaps, and which trouble is new."""

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import Profile, under_one_profile
from tests.e2e.small_world import flags


def _apply(world: Shell) -> str:
    report = world("apply", "--yes", "--json", *flags()).json
    return " ".join([*report["notes"], *report["needs"]])


@under_one_profile
def test_a_user_that_is_changed_back_every_day_is_named_as_flapping(world: Shell, sandbox: Sandbox) -> None:
    """With the field; one change that lasts is none."""
    first = _apply(world)
    sandbox.load_users([{**sandbox.users()["renamed"], "name": "Before"}])
    second = _apply(world)

    assert "flap" not in first
    assert "1 users flap" in second
    assert "renamed (name)" in second


def test_trouble_is_split_into_new_and_known(world: Shell, sandbox: Sandbox, profile: Profile) -> None:
    """Whoever reads it every morning sees what was not there yesterday."""
    refused = {"method": "PUT", "code": 422, "error": "ERR_BAD_REQUEST"}
    stuck = len(profile.stuck_in_world)
    sandbox.fault("status", path="/users/renamed", **refused)
    first = _apply(world)
    sandbox.fault("status", path="/users/demoted", **refused)
    sandbox.load_users([{**sandbox.users()["demoted"], "role": "premium"}])
    second = _apply(world)

    assert f"{1 + stuck} rejected ({1 + stuck} new)" in first
    assert "2 rejected (1 new)" in second

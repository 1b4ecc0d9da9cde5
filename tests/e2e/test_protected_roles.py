"""`policy.protect_roles`: the users of CometChat that are no persons, over a whole job."""

from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import under_one_profile

MADE = {"createdAt": 1_700_000_000}
SETTINGS = ("--set", "limits.core_per_minute=9000", "--set", "limits.standard_per_minute=18000")
SWITCH_OFF = ("--set", "policy.unmanaged=deactivate", "--set", "policy.unmanaged_scope=all")
LARGE = ("--set", "guards.deactivate={percent=100, floor=99}", "--accept-mapping")


@pytest.fixture
def bare(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Three users of CometChat, one of them an agent, and an export that has another name for each."""
    (shell.folder / "reconcile.toml").unlink()
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", "users.csv")
    sandbox.load_roles(["@agentic"])
    sandbox.load_users([a_user("ann"), a_user("bob"), a_user("agent", role="@agentic")])
    shell.write("users.csv", "uid,name,plan\nann,Ann,\nbob,Bob,\nagent,Agent,\n")
    return shell


def a_user(uid: str, **but: Any) -> dict[str, Any]:
    """A user of CometChat as it was before."""
    return {"uid": uid, "name": "before", **MADE, **but}


def names(sandbox: Sandbox) -> dict[str, str]:
    """The name of each active user."""
    return {uid: user["name"] for uid, user in sandbox.users().items() if not user.get("deactivatedAt")}


@pytest.mark.parametrize("parts", ["0", "3"])
def test_an_agent_is_never_written(bare: Shell, sandbox: Sandbox, parts: str) -> None:
    """It counts as protected, although its role is not mapped; in memory as in partitions."""
    result = bare("apply", "--yes", "--json", *SETTINGS, "--set", f"run.partitions={parts}")

    assert result.code == 0, result.out
    assert (result.json["drift"]["protected"], result.json["plan"]["update"]) == (1, 2)
    assert names(sandbox) == {"ann": "Ann", "bob": "Bob", "agent": "before"}
    assert 'protected by "@agentic" (policy.protect_roles): 1 user: agent' in result.json["notes"]


def test_an_agent_outside_the_source_is_never_switched_off(bare: Shell, sandbox: Sandbox) -> None:
    """Bob left, the agent never was a user of ours."""
    bare.write("users.csv", "uid,name\nann,Ann\n")
    result = bare("apply", "--yes", "--json", *SETTINGS, *SWITCH_OFF)

    assert result.code == 0, result.out
    assert (result.json["drift"]["unmanaged"], result.json["drift"]["shielded"]) == (1, 1)
    assert names(sandbox) == {"ann": "Ann", "agent": "before"}


def test_without_protected_roles_an_agent_is_a_user_like_others(bare: Shell, sandbox: Sandbox) -> None:
    """`[]` switches it off."""
    result = bare("apply", "--yes", "--json", *SETTINGS, "--set", "policy.protect_roles=[]")

    assert result.code == 0, result.out
    assert names(sandbox)["agent"] == "Agent"


@pytest.mark.parametrize("more", [(), ("--map", "role=plan")])
def test_who_becomes_an_agent_after_the_plan_is_not_written(
    bare: Shell, sandbox: Sandbox, more: tuple[str, ...]
) -> None:
    """Neither updated nor switched off: the last look before each write sees the role."""
    sandbox.load_users([a_user("left"), a_user("gone")])
    plan = bare("plan", "--json", *SETTINGS, *SWITCH_OFF, *LARGE[:2], *more)
    sandbox.load_users([a_user("ann", role="@agentic"), a_user("left", role="@agentic")])
    result = bare("apply", plan.json["run_id"], "--yes", "--json", *SETTINGS, *SWITCH_OFF, *LARGE[:2], *more)

    assert (result.code, result.json["outcomes"]["skipped"]) == (4, 2), result.out
    assert names(sandbox) == {"ann": "before", "bob": "Bob", "agent": "before", "left": "before"}
    changes = bare.latest("changes.csv").read_text("utf-8").splitlines()
    assert sum("policy.protect_roles" in line and "skipped" in line for line in changes) == 2


def test_an_undo_leaves_who_is_an_agent_by_now(bare: Shell, sandbox: Sandbox) -> None:
    """Its old name is not put back, and it is listed."""
    applied = bare("apply", "--yes", "--json", *SETTINGS)
    sandbox.load_users([a_user("ann", name="Ann", role="@agentic")])
    undone = bare("undo", applied.json["run_id"], "--yes", "--json", *SETTINGS)

    assert undone.code == 0, undone.out
    assert names(sandbox) == {"ann": "Ann", "bob": "before", "agent": "before"}
    assert any("ann (protected)" in note for note in undone.json["notes"])


@under_one_profile
def test_a_row_that_asks_for_a_protected_role_is_left_out(bare: Shell, sandbox: Sandbox) -> None:
    """Nobody becomes an agent by a cell of an export; its user is left alone."""
    bare.write("users.csv", "uid,name,plan\nann,Ann,@AGENTIC\nbob,Bob,\nnew,New,@agentic\n")
    result = bare("apply", "--yes", "--json", *SETTINGS, *SWITCH_OFF, "--map", "role=plan")

    assert result.code == 0, result.out
    assert result.json["source"]["quarantined"] == 2
    assert names(sandbox) == {"ann": "before", "bob": "Bob", "agent": "before"}
    assert '"ann","protected_role"' in bare.latest("quarantine.csv").read_text("utf-8")


@under_one_profile
def test_explain_names_the_role_that_protects_a_user(bare: Shell) -> None:
    """And that nothing would be written."""
    told = bare("explain", "agent", *SETTINGS)

    assert 'it has the role "@agentic", which protects it (policy.protect_roles)' in told.out
    assert "nothing would be written" in told.out

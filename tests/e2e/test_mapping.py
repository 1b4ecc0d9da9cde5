"""Mapping as people need it, end to end, and what happens when it changes."""

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import State
from tests.conftest import Shell
from tests.e2e.profiles import under_one_profile
from tests.e2e.small_world import flags

SETTINGS = """
[source]
location = "users.csv"

[fields]
uid = { column = "email", transform = ["strip", "lower", "hash-suffix"] }
name = { template = "{first} {last}" }
role = "plan"
tags = { template = "{tag1}|{tag2}" }

[fields.metadata]
origin = { constant = "crm" }
address.city = "city"
joined = { column = "joined", type = "number" }

[roles]
map = { free = "default", pro = "premium" }
"""
EXPORT = """\
email,first,last,plan,tag1,tag2,city,joined
Heron@Example.com,Grey,Heron,pro,a,b,Oslo,12
wren@example.com,,Wren,free,,c,,
"""
HERON, WREN = "heron-example-com-4c347148268b6f11", "wren-example-com-4be15ac83ae8c671"


@pytest.fixture
def mapped(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The command line with a mapping that uses everything."""
    shell.write("reconcile.toml", SETTINGS)
    shell.write("users.csv", EXPORT)
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("RECONCILE_LIMITS__CORE_PER_MINUTE", "9000")
    monkeypatch.setenv("RECONCILE_LIMITS__STANDARD_PER_MINUTE", "9000")
    return shell


def test_every_way_to_map_arrives(mapped: Shell, sandbox: Sandbox) -> None:
    """Templates, constants, transforms, types and inner objects, and a second plan is empty."""
    applied = mapped("apply", "--yes", "--json")
    heron = sandbox.users()[HERON]

    assert applied.code == 0, applied.err
    assert (heron["name"], heron["role"], sorted(heron["tags"])) == ("Grey Heron", "premium", ["a", "b"])
    assert heron["metadata"] == {"origin": "crm", "address": {"city": "Oslo"}, "joined": 12}
    assert sandbox.users()[WREN]["name"] == "Wren"
    assert mapped("plan", "--check").code == 0


def test_the_rest_of_an_inner_object_stays(mapped: Shell, sandbox: Sandbox) -> None:
    """One value of it is ours; clearing it takes that value alone."""
    address = {"city": "Bergen", "zip": "5003"}
    sandbox.load_users(
        {"uid": uid, "name": uid, "metadata": {"address": address, "theme": "dark"}} for uid in (HERON, WREN)
    )
    applied = mapped("apply", "--yes", "--json")
    held = {uid: sandbox.users()[uid]["metadata"] for uid in (HERON, WREN)}

    assert applied.code == 0, applied.out
    assert held[HERON]["address"] == {"city": "Oslo", "zip": "5003"}
    assert held[WREN]["address"] == {"zip": "5003"}
    assert all(metadata["theme"] == "dark" for metadata in held.values())


def test_a_value_in_the_way_of_an_inner_object_is_not_written_over(mapped: Shell, sandbox: Sandbox) -> None:
    """It is somebody else's; the change is rejected, with the reason."""
    sandbox.load_users([{"uid": HERON, "name": "Heron", "metadata": {"address": "Bergen"}}])
    applied = mapped("apply", "--yes", "--json")

    assert applied.code == 4
    assert applied.json["outcomes"]["rejected"] == 1
    assert sandbox.users()[HERON]["metadata"]["address"] == "Bergen"


@under_one_profile
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('role = "plan"', 'role = "tag1"'), "fields.role is column 'tag1', and was column 'plan'"),
        (('pro = "premium"', 'pro = "moderator"'), "fields.roles is"),
        (("[roles]", '[policy]\nempty = "keep"\n[roles]'), "policy.empty is keep, and was clear"),
    ],
)
def test_a_changed_mapping_or_policy_asks_for_a_review(
    mapped: Shell, sandbox: Sandbox, change: tuple[str, str], words: str
) -> None:
    """One go writes nothing; the plan says what is new, and can be applied once it was looked at."""
    mapped("apply", "--yes")
    mapped.write("reconcile.toml", SETTINGS.replace(*change))
    mapped.write("users.csv", EXPORT.replace("Oslo", "Bergen").replace(",a,b", ",default,b"))
    sandbox.clear_log()
    stopped = mapped("apply", "--yes", "--json")
    written = sandbox.counters().writes
    reviewed = mapped("apply", stopped.json["run_id"], "--yes", "--json")

    assert (stopped.code, stopped.json["verdict"], written) == (5, "held", 0)
    assert words in " ".join(stopped.json["notes"])
    assert f"reconcile apply {stopped.json['run_id']}" in stopped.json["needs"][0]
    assert reviewed.code == 0, reviewed.out
    assert mapped("apply", "--yes").code == 0


@under_one_profile
def test_a_changed_mapping_can_be_accepted_at_once(mapped: Shell, sandbox: Sandbox) -> None:
    """--accept-mapping says that somebody knows."""
    mapped("apply", "--yes")
    mapped.write("reconcile.toml", SETTINGS.replace("{first} {last}", "{last}"))

    assert mapped("plan").code == 0
    assert mapped("apply", "--yes", "--accept-mapping").code == 0
    assert sandbox.users()[HERON]["name"] == "Heron"


@under_one_profile
def test_a_changed_mapping_waits_for_its_review_however_often_it_is_tried(mapped: Shell, sandbox: Sandbox) -> None:
    """Neither a refused apply, nor one with nothing to change, nor a plan, counts as a review."""
    mapped("apply", "--yes")
    changed = SETTINGS.replace('city = "city"', 'city = "last"')
    mapped.write("reconcile.toml", changed.replace('address.city = "last"', 'address.city = "city"\nx = "tag1"'))
    codes = [mapped("plan").code, mapped("apply", "--yes").code, mapped("apply", "--yes").code]

    assert codes == [0, 5, 5]


@under_one_profile
def test_a_retry_does_not_pass_a_changed_mapping_by(world: Shell, sandbox: Sandbox) -> None:
    """Neither for its few users, nor for everybody in the night that follows."""
    sandbox.fault("status", method="PUT", path="/users/renamed", code=422, error="ERR_BAD_REQUEST")
    first = world("apply", "--yes", "--json", *flags())
    sandbox.clear_faults()
    changed = (*flags(), "--map", "name=plan")
    again = world("retry", first.json["run_id"], "--yes", "--json", *changed)

    assert (first.json["outcomes"]["rejected"] > 0, again.code) == (True, 5), again.out
    assert "--accept-mapping" not in again.json["error"]["hint"]
    assert sandbox.users()["renamed"]["name"] == "Before"
    assert world("apply", "--yes", *changed).code == 5


@under_one_profile
def test_a_kill_between_plan_and_review_does_not_pass_the_review_by(mapped: Shell, sandbox: Sandbox) -> None:
    """Resume finds the plan whole, and asks as apply would have."""
    mapped("apply", "--yes")
    mapped.write("reconcile.toml", SETTINGS.replace("{first} {last}", "{last}"))
    killed = mapped("apply", "--yes", "--json").json["run_id"]
    with closing(State(Path("runs/state.sqlite"), "demo")) as state:
        state.advance(killed, "planning")
    sandbox.clear_log()
    resumed = mapped("resume", "--json")

    assert (resumed.code, resumed.json["run_id"]) == (5, killed), resumed.out
    assert sandbox.counters().writes == 0


@under_one_profile
def test_explain_shows_each_step_from_cell_to_decision(mapped: Shell, sandbox: Sandbox) -> None:
    """By the id of the source or by the uid: the row, what the mapping makes of it, and what would be done."""
    mapped("apply", "--yes")
    mapped.write("users.csv", EXPORT.replace("Grey", "Great"))
    by_id, by_uid = mapped("explain", "Heron@Example.com", "--json"), mapped("explain", HERON)
    found: dict[str, Any] = by_id.json

    fields = {field["field"]: field for field in found["rows"][0]["fields"]}
    assert found["uid"] == HERON
    assert found["rows"][0]["source_row"] == 2
    assert fields["uid"]["steps"][-1] == ["hash-suffix", HERON]
    assert fields["name"]["cells"] == {"first": "Great", "last": "Heron"}
    assert (found["situation"], found["record"]["values"]["name"]) == ("drifted", "Grey Heron")
    assert found["decision"][0]["after"] == {"name": "Great Heron"}
    assert found["history"][0]["outcome"] == "applied"
    assert "template '{first} {last}'" in by_uid.out
    assert by_uid.code == 0


@under_one_profile
def test_explain_says_why_a_row_is_left_out(mapped: Shell, sandbox: Sandbox) -> None:
    """A collision shows both rows; a value that cannot be read says so."""
    mapped.write("users.csv", EXPORT + "HERON@example.com,Other,Heron,pro,,,,x\n")
    found = mapped("explain", HERON, "--json").json

    assert len(found["rows"]) == 2
    assert found["situation"] is None
    assert "collision" in found["quarantined"]["2"]
    assert any(field["problem"] for field in found["rows"][1]["fields"])


@under_one_profile
def test_explain_shows_whom_an_id_collides_with_by_whatever_name_it_is_asked(
    mapped: Shell, sandbox: Sandbox
) -> None:
    """By the id of either row, in its own spelling, as by the uid that both become."""
    mapped.write("users.csv", EXPORT + "HERON@example.com,Other,Heron,pro,,,,1\n")
    answers = [
        mapped("explain", name, "--json").json for name in ("Heron@Example.com", "HERON@example.com", HERON)
    ]

    assert [row["source_row"] for row in answers[0]["rows"]] == [2, 4]
    assert answers == [answers[2]] * 3


@pytest.mark.parametrize(
    ("uid", "situation", "words"),
    [
        ("outside", None, "policy.unmanaged is report"),
        ("asleep", "deactivated", "policy.deactivated is report"),
        ("app_system", None, "protected"),
        ("nobody", None, "neither active nor deactivated"),
        ("same", "in_step", None),
        ("missing-1", "missing", None),
    ],
)
def test_explain_knows_every_kind_of_user(
    world: Shell, uid: str, situation: str | None, words: str | None
) -> None:
    """Whatever a user is, there is a sentence for it."""
    maps = ("--map", "role=plan", "--map", "metadata.country=country", "--map", "metadata.ring=ring")
    told = world("explain", uid, "--json", *maps)
    assert told.code == 0, told.err
    found = told.json

    assert found["situation"] == situation
    assert words is None or words in " ".join(found["why"])


@under_one_profile
def test_explain_reads_only(mapped: Shell, sandbox: Sandbox) -> None:
    """It sends no write and leaves no run."""
    mapped("explain", HERON)

    assert sandbox.counters().writes == 0
    assert msgspec.json.decode(mapped("runs", "--json").out)["runs"] == []

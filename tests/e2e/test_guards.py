"""What holds a class of changes back, how it is told, and how it is let go."""

import csv
import io
import json
from typing import Any

import pytest

from reconcile.sandbox.testing import Sandbox
from reconcile.store.planfile import PlanFile
from tests.conftest import Result, Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import in_turn, under_one_profile

LONG_AGO = 1_700_000_000
AVATAR = "https://img.example.com/1.png"
APPLY = ("apply", "--yes")
SWITCH_OFF = ("--set", "policy.unmanaged=deactivate", "--set", "policy.unmanaged_scope=all")
SWITCH_ON = ("--set", "policy.deactivated=reactivate")


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """A job over an empty app, with a mapping of name, role and avatar."""
    return Nights(shell, sandbox)


def load(nights: Nights, *numbers: int, **but: Any) -> None:
    """Put users into the directory who hold what the export says, but for these fields."""
    known = {"name": "Same", "role": "default", "avatar": AVATAR, "createdAt": LONG_AGO}
    nights.sandbox.load_users({"uid": f"user-{number}", **known, **but} for number in numbers)


def guard(kind: str, percent: float, floor: int, most: int | None = None) -> tuple[str, str]:
    """A guard as a flag."""
    limit = "" if most is None else f", max={most}"
    return "--set", f"guards.{kind}={{percent={percent}, floor={floor}{limit}}}"


def release(nights: Nights, result: Result, kind: str, *flags: str) -> Result:
    """Run the very command that a report names."""
    remedy = result.json["guards"][kind]["release"].split()
    assert remedy[0] == "reconcile"
    return nights.shell(*remedy[1:], "--yes", "--json", *flags)


def outcomes(nights: Nights) -> dict[tuple[str, str], str]:
    """What became of each change of the newest run, by uid and class."""
    with nights.shell.latest("changes.csv").open(encoding="utf-8", newline="") as file:
        return {(row["uid"], row["class"]): row["outcome"] for row in csv.DictReader(file)}


def active(nights: Nights) -> set[str]:
    """The uids that may log in."""
    return {uid for uid, user in nights.sandbox.users().items() if "deactivatedAt" not in user}


# The limits


def drift(nights: Nights, kind: str) -> tuple[int, tuple[str, ...]]:
    """A directory in which one class has three changes; gives the base of its guard, and the flags."""
    match kind:
        case "create":
            load(nights, *range(4, 11))
            return 7, ()
        case "update":
            load(nights, 1, 2, 3, name="Old")
            load(nights, *range(4, 11))
            return 10, ()
        case "role_change":
            load(nights, 1, 2, 3, role="premium")
            load(nights, *range(4, 11))
            return 10, ()
        case "clear":
            load(nights, 1, 2, 3)
            load(nights, *range(4, 11), avatar="")
            return 10, ()
        case "deactivate":
            load(nights, *range(1, 14))
            return 13, SWITCH_OFF
        case _:
            load(nights, *range(1, 11))
            nights.run(7, *SWITCH_OFF, command=APPLY)
            load(nights, 20, deactivatedAt=LONG_AGO)
            return 4, (*SWITCH_ON, "--accept-source")


def avatar(kind: str) -> str:
    """The avatar in every row that goes with that drift."""
    return "" if kind == "clear" else AVATAR


KINDS = ["create", "update", "role_change", "clear", "deactivate", "reactivate"]


@under_one_profile
@pytest.mark.parametrize("kind", KINDS)
def test_a_class_passes_at_its_limit_and_is_held_above(nights: Nights, kind: str) -> None:
    """Over both floor and percent of its own base, or over max; and the report says all four numbers."""
    base, flags = drift(nights, kind)
    share = 100 * 3 / base

    def verdict(*limits: Any) -> dict[str, Any]:
        report = nights.run(10, *flags, *guard(kind, *limits), plan="default", avatar=avatar(kind)).json
        assert report["plan"]["held"] == (3 if report["guards"][kind]["verdict"] == "held" else 0)
        assert [name for name, line in report["guards"].items() if line["verdict"] == "held"] in ([], [kind])
        return dict(report["guards"][kind])

    held = verdict(0, 2)
    assert (held["measured"], held["base"], held["limit"], held["verdict"]) == (3, base, 2, "held")
    assert held["because"] == "3 is over the limit of 2"
    assert verdict(share - 1, 2)["verdict"] == "held"
    assert verdict(share + 0.01, 2)["verdict"] == "pass"
    assert verdict(0, 3)["verdict"] == "pass"
    assert verdict(100, 100, 2)["verdict"] == "held"
    assert verdict(100, 100, 3)["verdict"] == "pass"


@under_one_profile
def test_everybody_may_be_created_in_an_empty_directory(nights: Nights) -> None:
    """That is a migration, and no accident."""
    assert nights.run(10, *guard("create", 0, 0, 0), command=APPLY).json["outcomes"]["applied"] == 10


@in_turn(("kind",), zip(KINDS))
def test_a_held_class_waits_and_the_command_in_the_report_lets_it_go(nights: Nights, kind: str) -> None:
    """Its changes stand in the plan and in the report, the rest is done, and the remedy works as it stands."""
    _, flags = drift(nights, kind)
    load(nights, 9, name="Old", avatar=avatar(kind))
    limit = guard(kind, 0, 0)
    other = kind if kind == "update" else "update"
    command = (*APPLY, "--accept-mapping")
    first = nights.run(10, *flags, *limit, command=command, code=5, plan="default", avatar=avatar(kind))
    plan = list(PlanFile(nights.shell.latest("plan.jsonl.gz")).changes())
    told = outcomes(nights)
    needs = " ".join(first.json["needs"])
    released = release(nights, first, kind, *flags, *limit)
    check = nights.shell("plan", "--check", *flags, "--accept-source")

    held = {change.uid for change in plan if change.guard_class == kind}
    assert first.json["verdict"] == "held"
    assert first.json["plan"]["held"] == first.json["outcomes"]["held"] == len(held)
    assert {uid for (uid, name), outcome in told.items() if outcome == "held"} == held
    assert first.json["guards"][kind]["release"] in needs
    assert other == kind or told["user-9", "update"] == "applied"
    assert (released.code, released.json["guards"][kind]["verdict"]) == (0, "released"), released.out
    assert released.json["outcomes"]["applied"] == len(held)
    assert check.code == 0, check.out


@under_one_profile
def test_a_run_that_ends_before_its_first_write_says_so_and_not_that_it_is_held(nights: Nights) -> None:
    """The key is refused at the first look: that somebody reviews the held class would not help."""
    _, flags = drift(nights, "create")
    load(nights, 9, name="Old")
    limits = (*flags, *guard("create", 0, 0), "--json")
    plan = nights.run(10, *limits)
    nights.sandbox.fault("revoke_key", method="GET", path="/users/*")
    cut = nights.shell("apply", plan.json["run_id"], "--yes", *limits)

    assert (cut.code, cut.json["verdict"], cut.json["plan"]["held"]) == (7, "unreachable", 3)


@under_one_profile
def test_a_release_is_a_ceiling_for_one_plan(nights: Nights) -> None:
    """Fewer than there are, or another class, and it stays held; the next plan is held again."""
    load(nights, 1, 2, 3, name="Old")
    limit = guard("update", 0, 0)
    plan = nights.run(3, *limit).json["run_id"]
    low = nights.shell("apply", plan, "--release", "update=2", "--release", "clear=9", "--yes", "--json")
    unknown = nights.shell("apply", plan, "--release", "everything=3", "--yes", "--json")
    alone = nights.shell("apply", "--release", "update=3", "--yes", "--json", *limit)
    high = nights.shell("apply", plan, "--release", "update=3", "--yes", "--json")
    load(nights, 1, 2, 3, name="Old")

    assert (low.code, low.json["outcomes"]["held"]) == (5, 3)
    assert "--release update=3" in low.json["guards"]["update"]["release"]
    assert (unknown.code, alone.code) == (2, 2)
    assert "no such class: everything" in unknown.out
    assert (high.code, high.json["outcomes"]["applied"]) == (0, 3)
    # Nothing of the plan was due; now all of it is.
    assert (low.json["forecast"]["requests"], high.json["forecast"]["requests"]) == (0, 6)
    assert nights.run(3, *limit, command=(*APPLY, "--accept-source"), code=5).json["outcomes"]["held"] == 3


# One user with several changes


@under_one_profile
@pytest.mark.parametrize(("kind", "rest"), [("role_change", "update"), ("update", "role_change")])
def test_of_one_user_the_held_class_waits_and_the_other_goes(nights: Nights, kind: str, rest: str) -> None:
    """And the release finds the record that our own other change left, which is no move of another."""
    load(nights, 1, 2, 3, name="Old", role="premium")
    limit = guard(kind, 0, 0)
    first = nights.run(3, *limit, command=APPLY, code=5, plan="default")
    told = outcomes(nights)
    users = nights.sandbox.users()
    done = {"update": ("name", "Same"), "role_change": ("role", "default")}
    released = release(nights, first, kind, *limit)

    assert {told[f"user-{n}", kind] for n in (1, 2, 3)} == {"held"}
    assert {told[f"user-{n}", rest] for n in (1, 2, 3)} == {"applied"}
    assert all(users[f"user-{n}"][done[rest][0]] == done[rest][1] for n in (1, 2, 3))
    assert all(users[f"user-{n}"][done[kind][0]] != done[kind][1] for n in (1, 2, 3))
    assert (released.code, released.json["outcomes"]["skipped"]) == (0, 0), released.out
    assert released.json["outcomes"]["applied"] == released.json["outcomes"]["already"] == 3


def test_a_release_still_leaves_who_was_moved_by_another(nights: Nights) -> None:
    """Our own change stands, and somebody else's too: not the record that a person reviewed."""
    load(nights, 1, name="Old", role="premium")
    first = nights.run(1, *guard("role_change", 0, 0), command=APPLY, code=5, plan="default")
    load(nights, 1, avatar="https://img.example.com/other.png", role="premium")
    released = release(nights, first, "role_change")

    assert (released.code, nights.sandbox.users()["user-1"]["role"]) == (4, "premium")
    assert "moved since the plan" in nights.shell.latest("changes.csv").read_text()


@under_one_profile
def test_a_reviewed_plan_that_was_stopped_between_two_changes_of_a_user_is_finished(nights: Nights) -> None:
    """Its second change meets the record that the first one left before the stop."""
    load(nights, 1, name="Old", role="premium")
    plan = nights.run(1, plan="default").json["run_id"]
    nights.sandbox.fault("revoke_key", method="PUT", path="/users/*", nth=2)
    stopped = nights.shell("apply", plan, "--yes", "--json")
    nights.sandbox.clear_faults()
    nights.sandbox.restore_key()
    resumed = nights.shell("resume", "--json")

    assert (stopped.code, stopped.json["outcomes"]["applied"]) == (8, 1)
    assert (resumed.code, resumed.json["outcomes"]["applied"]) == (0, 2), resumed.out


# Switched off and on


def test_who_was_switched_off_by_us_comes_back_by_policy_and_nobody_else(nights: Nights) -> None:
    """A moderator's ban is no business of an export: it is reported and left, whatever the policy."""
    load(nights, *range(1, 6))
    nights.run(4, *SWITCH_OFF, command=APPLY)
    load(nights, 2, deactivatedAt=LONG_AGO)
    reported = nights.run(5, "--accept-source")
    back = nights.run(5, *SWITCH_ON, "--accept-mapping", command=APPLY)

    assert (reported.json["drift"]["deactivated"], reported.json["plan"]["reactivate"]) == (2, 0)
    assert (back.json["plan"]["reactivate"], back.json["outcomes"]["applied"]) == (1, 1)
    assert active(nights) == {"user-1", "user-3", "user-4", "user-5"}
    assert (
        "1 users of the source stay deactivated, because another hand did that; all of them, and the way back: "
        "reconcile plan --release reactivate_foreign=1; they are: user-2" in back.json["notes"]
    )


def banned(nights: Nights, *flags: str) -> tuple[str, ...]:
    """Three users in step, two of whom a moderator banned; gives the command that the report of a night names."""
    load(nights, 1)
    load(nights, 2, deactivatedAt=LONG_AGO)
    load(nights, 3, name="Old", deactivatedAt=LONG_AGO)
    told = nights.run(3, *SWITCH_ON, *flags, command=("plan", "--check")).json
    (note,) = [note for note in told["notes"] if "another hand" in note]
    assert (told["drift"]["deactivated"], told["plan"]["reactivate"]) == (2, 0)
    assert note.endswith("; they are: user-2, user-3")
    command = note.partition("the way back: reconcile ")[2].partition(";")[0]
    return *command.split(), *SWITCH_ON


def test_a_ban_is_no_drift_and_ends_no_night_as_held(nights: Nights) -> None:
    """Every night would end with 5 because a moderator did its work."""
    banned(nights)
    night = nights.run(3, *SWITCH_ON, command=APPLY)

    assert (night.json["verdict"], night.json["guards"]["reactivate_foreign"]["verdict"]) == ("in_step", "pass")
    assert active(nights) == {"user-1"}


def test_an_explicit_release_takes_bans_back_by_a_plan_that_names_them(nights: Nights) -> None:
    """The command of the report makes that plan, the plan is carried out as it stands, and the rest is brought in step."""
    planned = nights.shell(*banned(nights), "--json")
    plan = [
        (change.uid, change.guard_class) for change in PlanFile(nights.shell.latest("plan.jsonl.gz")).changes()
    ]
    listed = nights.shell.latest("changes.csv").read_text("utf-8")
    applied = nights.shell("apply", planned.json["run_id"], "--yes", "--json", *SWITCH_ON)

    assert plan == [("user-2", "reactivate_foreign"), ("user-3", "reactivate_foreign"), ("user-3", "update")]
    assert '"user-2","reactivate","reactivate_foreign"' in listed
    assert planned.json["guards"]["reactivate_foreign"]["verdict"] == "released"
    assert (applied.code, applied.json["outcomes"]["applied"]) == (0, 3), applied.out
    assert active(nights) == {"user-1", "user-2", "user-3"}
    assert nights.sandbox.users()["user-3"]["name"] == "Same"


@under_one_profile
def test_a_release_of_bans_is_a_ceiling_too(nights: Nights) -> None:
    """One more than that, and nobody passes, nor what is behind; the report names the command that lets them."""
    banned(nights)
    flags = (*SWITCH_ON, "--release", "reactivate_foreign=1")
    held = nights.run(3, *flags, command=APPLY, code=5)
    told, before = outcomes(nights), active(nights)
    remedy = held.json["guards"]["reactivate_foreign"]
    released = release(nights, held, "reactivate_foreign", *SWITCH_ON)

    assert (remedy["measured"], remedy["limit"], remedy["because"]) == (2, 0, "another hand switched them off")
    assert (set(told.values()), before) == ({"held"}, {"user-1"})
    assert (released.code, released.json["outcomes"]["applied"]) == (0, 3), released.out


def test_bans_may_be_released_in_one_go(nights: Nights) -> None:
    """By who has seen the number; and once: the next ban stays."""
    banned(nights)
    once = nights.run(3, *SWITCH_ON, "--release", "reactivate_foreign=2", command=APPLY)
    load(nights, 2, deactivatedAt=LONG_AGO)
    night = nights.run(3, *SWITCH_ON, command=APPLY)

    assert once.json["outcomes"]["applied"] == 3
    assert (night.json["plan"]["reactivate"], active(nights)) == (0, {"user-1", "user-3"})


@under_one_profile
def test_the_question_says_that_another_hand_is_overruled(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says yes is to know."""
    plan = nights.shell(*banned(nights), "--json").json["run_id"]
    answer = io.StringIO("n\n")
    monkeypatch.setattr(answer, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", answer)
    asked = nights.shell("apply", plan, *SWITCH_ON)

    assert (asked.code, active(nights)) == (2, {"user-1"})
    assert "2 to reactivate, 0 to deactivate; the plan takes back what another hand did to 2 users." in asked.err


def test_our_own_come_back_while_bans_are_held(nights: Nights) -> None:
    """Each class for itself, also where one of them has updates behind it."""
    load(nights, 1, 2)
    nights.run(1, *SWITCH_OFF, "--set", "guards.deactivate={percent=100, floor=9}", command=APPLY)
    load(nights, 3, name="Old", deactivatedAt=LONG_AGO)
    flags = (*SWITCH_ON, "--accept-mapping", "--release", "reactivate_foreign=0")
    nights.run(3, *flags, command=APPLY, code=5)

    assert active(nights) == {"user-1", "user-2"}
    assert outcomes(nights) == {
        ("user-2", "reactivate"): "applied",
        ("user-3", "reactivate_foreign"): "held",
        ("user-3", "update"): "held",
    }


def test_a_released_ban_that_is_undone_is_a_ban_again(nights: Nights) -> None:
    """The undo switches the user off, but that does not make it ours to bring back by policy."""
    banned(nights)
    run_id = nights.run(3, *SWITCH_ON, "--release", "reactivate_foreign=2", command=APPLY).json["run_id"]
    undone = nights.shell("undo", run_id, "--yes", "--json", *SWITCH_ON)
    told = nights.run(3, *SWITCH_ON).json

    assert (undone.code, active(nights)) == (0, {"user-1"}), undone.out
    assert told["plan"]["reactivate"] == 0
    assert "--release reactivate_foreign=2" in " ".join(told["notes"])


@under_one_profile
def test_a_release_of_bans_that_can_do_nothing_is_refused(nights: Nights) -> None:
    """Where the policy only reports, with a plan that has none, and of other classes without a plan."""
    banned(nights)
    nothing = nights.run(3, *SWITCH_ON).json["run_id"]
    release = ("--release", "reactivate_foreign=2")
    reporting = nights.shell("plan", *release)
    without = nights.shell("apply", nothing, "--yes", *SWITCH_ON, *release)
    other = nights.shell("plan", *SWITCH_ON, "--release", "update=2")

    assert (reporting.code, without.code, other.code) == (2, 2, 2)
    assert 'goes with policy.deactivated = "reactivate"' in reporting.err
    assert "reconcile plan --release reactivate_foreign=N" in without.err
    assert "the plan of a run" in other.err


@under_one_profile
def test_explain_says_that_another_hand_did_it(nights: Nights) -> None:
    """And what brings such a user back."""
    banned(nights)

    assert "another hand deactivated it" in nights.shell("explain", "user-2", *SWITCH_ON).out


def test_a_ban_that_no_list_shows_is_left_too(nights: Nights, sandbox: Sandbox) -> None:
    """Once the create that met it switched the user on, whoever had switched it off."""
    sandbox.switch(deactivated_flags="ignored", default_list="active", get_deactivated="404")
    load(nights, 1)
    load(nights, 2, deactivatedAt=LONG_AGO)
    result = nights.run(2, *SWITCH_ON, command=APPLY, code=4)

    assert result.json["outcomes"]["skipped"] + result.json["outcomes"]["rejected"] == 1
    assert active(nights) == {"user-1"}


def test_what_is_behind_a_held_reactivation_is_held_with_it(nights: Nights) -> None:
    """Nobody can write to who is switched off: once its other changes were skipped, with exit code 4."""
    load(nights, 1)
    load(nights, 2, name="Old", role="premium")
    nights.run(1, *SWITCH_OFF, command=APPLY)
    limit = guard("reactivate", 0, 0)
    held = nights.run(2, *SWITCH_ON, *limit, "--accept-mapping", command=APPLY, code=5, plan="default")
    told = outcomes(nights)
    released = release(nights, held, "reactivate", *SWITCH_ON, *limit)

    assert {outcome for (uid, _), outcome in told.items() if uid == "user-2"} == {"held"}
    assert (released.code, released.json["outcomes"]["applied"]) == (0, 3), released.out
    assert nights.sandbox.users()["user-2"]["name"] == "Same"


@under_one_profile
def test_a_row_without_a_usable_uid_holds_the_deactivations(nights: Nights) -> None:
    """Nobody knows whom it meant."""
    load(nights, 1, 2)
    nights.write_text("id,name,plan,avatar\nuser-1,Same,,https://img.example.com/1.png\n???,Same,,\n")
    result = nights.shell("apply", "--yes", "--json", *SWITCH_OFF)

    assert (result.code, result.json["guards"]["deactivate"]["because"]) == (5, "1 source rows have no usable uid")
    assert active(nights) == {"user-1", "user-2"}


# Protected


def protect(*patterns: str) -> tuple[str, str]:
    """The patterns as a flag."""
    return "--set", f"policy.protect={json.dumps(patterns)}"


@under_one_profile
def test_protected_users_are_shown_with_the_rule_and_left(nights: Nights) -> None:
    """Inside the source and outside, and a pattern that matches nobody is pointed out: it may be misspelt."""
    load(nights, 1, 2, name="Old")
    nights.sandbox.load_users([{"uid": "bot-1", "name": "Bot", "createdAt": LONG_AGO}])
    flags = (*SWITCH_OFF, *protect("user-2", "BOT-*", "b?t-*", "robot-*"))
    result = nights.run(2, *flags, command=APPLY)
    users = nights.sandbox.users()

    assert (users["user-1"]["name"], users["user-2"]["name"]) == ("Same", "Old")
    assert "bot-1" in active(nights)
    assert 'protected by "user-2" (policy.protect): 1 user: user-2' in result.json["notes"]
    assert 'protected by "BOT-*" (policy.protect): 1 user: bot-1' in result.json["notes"]
    assert 'protected by "b?t-*" (policy.protect): 1 user: bot-1' in result.json["notes"]
    assert 'policy.protect: "robot-*" matches nobody; is it misspelt?' in result.json["notes"]
    assert result.json["drift"]["protected"] == 1


@under_one_profile
def test_the_pattern_that_is_there_from_the_start_is_not_pointed_out(nights: Nights) -> None:
    """Most apps do not show that user, and there is nothing to mend."""
    load(nights, 1)

    assert "protect" not in " ".join(nights.run(1).json["notes"])


@under_one_profile
def test_explain_names_the_rule_that_protects(nights: Nights) -> None:
    """Of a user of the source, and of one outside."""
    load(nights, 1, name="Old")
    nights.sandbox.load_users([{"uid": "bot-1", "name": "Bot", "createdAt": LONG_AGO}])
    nights.write(1)
    flags = protect("user-1", "bot-*", "x*")
    inside, outside = (nights.shell("explain", uid, "--json", *flags) for uid in ("user-1", "bot-1"))

    assert 'it is protected by "user-1" (policy.protect): never written' in inside.json["why"]
    assert 'it is protected by "bot-*" (policy.protect): never written' in outside.json["why"]

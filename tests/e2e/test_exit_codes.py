"""Each way a command can end: the words, the remedy, the exit code, and no write where none may be."""

import json
from pathlib import Path

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.profiles import Profile, under_one_profile

BAD_SOURCES = {
    "a mapped column is missing": (b"id,name\n1,Wren\n", "'full_name' is missing"),
    "nothing at all": (b"", "is empty"),
    "a header and nothing below": (
        b"id,full_name,avatar_url,profile_url,plan,tags,country,ring\n",
        "min_rows",
    ),
    "bytes that do not decode": (
        b"id,full_name,avatar_url,profile_url,plan,tags,country,ring\n1,\xff,,,,,,\n",
        ":2: the bytes do not decode",
    ),
    "a quote left open": (
        b'id,full_name,avatar_url,profile_url,plan,tags,country,ring\n1,"Wren,,,,,,\n',
        "is not closed",
    ),
}


@under_one_profile
@pytest.mark.parametrize("name", BAD_SOURCES)
@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes")], ids=["plan", "apply"])
def test_a_bad_source_is_6_with_no_request(
    shell: Shell, drifted: Sandbox, name: str, command: tuple[str, ...]
) -> None:
    """A source that cannot be read or believed stops the run before the first request."""
    content, words = BAD_SOURCES[name]
    shell.write("users.csv", content)
    result = shell(*command)

    assert result.code == 6
    assert words in result.out
    assert drifted.counters().requests == 0


@under_one_profile
def test_a_directory_in_place_of_a_file_is_6(shell: Shell) -> None:
    """A folder is no export."""
    result = shell("plan", "--source", ".")

    assert result.code == 6
    assert "a directory" in result.out


@under_one_profile
def test_a_shrunk_source_is_6_and_can_be_accepted_once(shell: Shell, drifted: Sandbox) -> None:
    """Half an export is not believed, unless a person says so."""
    shell("plan")
    lines = (shell.folder / "users.csv").read_text("utf-8").splitlines(keepends=True)
    shell.write("users.csv", "".join(lines[:20]))
    refused, accepted = shell("plan"), shell("plan", "--accept-source")

    assert refused.code == 6
    assert "370" in refused.out
    assert "--accept-source" in refused.out
    assert accepted.code == 0


@under_one_profile
def test_a_missing_sentinel_is_6(shell: Shell, drifted: Sandbox) -> None:
    """A good export has certain users."""
    result = shell("plan", "--set", 'guards.sentinels=["bird-1", "phoenix"]')

    assert result.code == 6
    assert "phoenix" in result.out


@under_one_profile
def test_too_many_bad_rows_are_6(shell: Shell, drifted: Sandbox) -> None:
    """An export of mostly unusable rows is not believed, and nothing was written."""
    result = shell("apply", "--yes", "--set", "guards.max_quarantined={percent=1, floor=5}")

    assert result.code == 6
    assert drifted.counters().writes == 0


def test_a_wrong_key_is_7(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the app does not know, with what to do about it, and never the key itself."""
    monkeypatch.setenv("COMETCHAT_API_KEY", "f" * 40)
    result = shell("plan")

    assert result.code == 7
    assert "AUTH_ERR_APIKEY_NOT_FOUND" in result.out
    assert "check the key" in result.out
    assert "f" * 40 not in result.out + result.err


def test_a_key_of_the_wrong_scope_is_7(shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Auth Key is not enough, and that is found before anything is written."""
    monkeypatch.setenv("COMETCHAT_API_KEY", drifted.auth_only_key)
    result = shell("apply", "--yes")

    assert result.code == 7
    assert "fullAccess" in result.out
    assert drifted.counters().writes == 0


@under_one_profile
def test_an_app_that_is_not_there_is_7(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens."""
    monkeypatch.setenv("COMETCHAT_BASE_URL", "http://127.0.0.1:9/v3")
    monkeypatch.setattr("reconcile.cometchat.client.BACKOFF_S", 0.0)

    assert shell("plan").code == 7


@under_one_profile
def test_unknown_settings_are_2_all_at_once(shell: Shell) -> None:
    """Every problem is told, each with the nearest known name."""
    result = shell("plan", "--set", "policy.emty=keep", "--set", "guards.min_row=3", "--set", "limits.share=7")

    assert result.code == 2
    assert "did you mean policy.empty?" in result.err
    assert "did you mean guards.min_rows?" in result.err
    assert "limits.share" in result.err


@under_one_profile
def test_an_unknown_flag_is_2(shell: Shell) -> None:
    """Usage errors end like settings errors."""
    assert shell("plan", "--dry").code == 2


@under_one_profile
def test_no_key_is_2(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the key goes is said."""
    monkeypatch.delenv("COMETCHAT_API_KEY")
    result = shell("plan")

    assert result.code == 2
    assert "COMETCHAT_API_KEY" in result.err


@under_one_profile
def test_apply_without_a_terminal_needs_yes(shell: Shell, drifted: Sandbox) -> None:
    """Nobody is there to answer."""
    result = shell("apply")

    assert result.code == 2
    assert "--yes" in result.err
    assert drifted.counters().requests == 0


@under_one_profile
def test_another_app_in_the_same_run_dir_is_2(shell: Shell, drifted: Sandbox) -> None:
    """A state file belongs to one app."""
    shell("plan")
    result = shell("plan", "--set", "cometchat.app_id=other")

    assert result.code == 2
    assert "belongs to the app demo" in result.err


@under_one_profile
def test_require_state_is_2_on_a_first_run(shell: Shell) -> None:
    """A job that lost its disk is told so."""
    assert shell("plan", "--require-state").code == 2


@under_one_profile
def test_check_is_3_when_there_is_drift(shell: Shell, drifted: Sandbox) -> None:
    """A planned change becomes an exit code, and only there."""
    assert shell("plan", "--check").code == 3
    assert shell("plan").code == 0


def test_a_rejected_change_is_4_and_the_rest_goes_on(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """One refused user does not hold up the others."""
    drifted.fault("status", method="POST", path="/users", code=400, error="ERR_BAD_REQUEST", times=1)
    result = shell("apply", "--yes", "--json")

    assert result.code == 4
    assert result.json["outcomes"]["rejected"] == 1 + len(profile.stuck_in_samples)
    assert result.json["outcomes"]["applied"] == 103 - len(profile.stuck_in_samples)


@under_one_profile
def test_a_held_class_is_5_and_the_rest_goes_on(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """Too many role changes wait for a person; the same users' profiles do not."""
    guard = "guards.role_change={percent=1, floor=2, max=2000}"
    held = shell("apply", "--yes", "--json", "--set", guard)
    verdict = held.json["guards"]["role_change"]

    assert held.code == (profile.done or 5)  # of several codes the worse one is given
    assert held.json["outcomes"]["held"] == 11
    assert held.json["outcomes"]["applied"] == 93 - len(profile.stuck_in_samples)
    assert (verdict["verdict"], verdict["measured"]) == ("held", 11)


@under_one_profile
def test_a_held_class_goes_when_it_is_released(shell: Shell, drifted: Sandbox, profile: Profile) -> None:
    """The remedy in the report works as it stands."""
    shell.write(
        "reconcile.toml",
        (shell.folder / "reconcile.toml").read_text() + "\n[guards]\nrole_change = { floor = 2, percent = 1 }\n",
    )
    planned = shell("plan", "--json")
    remedy = planned.json["guards"]["role_change"]["release"].split()
    result = shell(*remedy[1:], "--yes", "--json")

    assert planned.json["plan"]["held"] == 11
    assert result.code == profile.done
    assert result.json["outcomes"]["applied"] == 104 - len(profile.stuck_in_samples)


@under_one_profile
def test_an_outage_after_the_first_write_is_8(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run stops, says so, and leaves a report."""
    monkeypatch.setattr("reconcile.cometchat.client.BACKOFF_S", 0.0)
    drifted.fault("status", method="PUT,POST", path="/users*", code=503, nth=10, times=10**6)
    drifted.fault("status", method="GET", path="/users/*", code=503, nth=60, times=10**6)
    result = shell("apply", "--yes")
    report = json.loads(shell.latest("report.json").read_text())

    assert result.code == 8
    assert report["verdict"] == "stopped"
    assert report["outcomes"]["applied"] > 0
    assert sum(report["outcomes"].values()) == 104


@under_one_profile
def test_a_revoked_key_half_way_is_8(shell: Shell, drifted: Sandbox) -> None:
    """What was written stays written, and the rest was not attempted."""
    drifted.fault("revoke_key", method="PUT", path="/users/*", nth=20)
    result = shell("apply", "--yes", "--json")

    assert result.code == 8
    assert result.json["outcomes"]["not_attempted"] > 0


@under_one_profile
def test_a_second_run_at_the_same_time_is_9(shell: Shell, tmp_path: Path) -> None:
    """The lock is told with its holder."""
    from reconcile.store.lock import hold  # noqa: PLC0415

    (shell.folder / "runs").mkdir()
    with hold(shell.folder / "runs", tmp_path / "app.lock", "20260101T000000Z-abcd"):
        result = shell("plan")

    assert result.code == 9
    assert "20260101T000000Z-abcd" in result.err


@under_one_profile
@pytest.mark.parametrize(
    "argv",
    [
        ("plan", "--json", "--set", "a=b"),
        ("plan", "--json", "--source", "absent.csv"),
        ("plan", "--json", "--nonsense"),
        ("apply", "--json"),
        ("report", "--json"),
        ("runs", "--json"),
        ("doctor", "--json"),
    ],
)
def test_json_parses_whatever_happens(shell: Shell, argv: tuple[str, ...]) -> None:
    """One document on stdout, on success and on failure."""
    result = shell(*argv)

    assert isinstance(result.json, dict)

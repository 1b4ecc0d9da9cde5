"""What others keep in the metadata of a user is never lost: what CometChat did not show is unknown, never empty."""

import csv
from typing import Any

import pytest

from reconcile.core.metadata import Private
from reconcile.sandbox.testing import Sandbox
from reconcile.store.reader import StateReader
from reconcile.store.state import State
from tests.conftest import Result, Shell
from tests.e2e.profiles import under_one_profile

# The tests turn the switches themselves.
pytestmark = under_one_profile

MADE = {"createdAt": 1_600_000_000}
SETTINGS = """\
[cometchat]
app_id = "demo"
[source]
location = "users.csv"
[fields]
uid = "uid"
name = "name"
[fields.metadata]
country = "country"
[limits]
core_per_minute = 9000
standard_per_minute = 18000
"""
ALLOW = ("--set", "policy.overwrite_hidden_metadata=true", "--accept-mapping")
HIDES_ONE = {"get_metadata": "hidden", "get_tags": "hidden"}
PRIVATE = {"@private": {"email": "k@example.com"}}


@pytest.fixture
def job(shell: Shell) -> Shell:
    """A job that manages the name and one metadata key."""
    shell.write("reconcile.toml", SETTINGS)
    return shell


def load(sandbox: Sandbox, **metadata: Any) -> None:
    """Put users into the directory, named as their metadata is given."""
    known = {uid: {"metadata": held} if held is not None else {} for uid, held in metadata.items()}
    sandbox.load_users({"uid": uid, "name": "Same", **MADE, **more} for uid, more in known.items())


def crowd(sandbox: Sandbox, number: int) -> None:
    """Put so many users into the directory whose uid begins with 1, before all others in the list."""
    held = {"metadata": {"country": "DE"}, "createdAt": 1_700_000_000}
    sandbox.load_users({"uid": f"1{n:05}", "name": "Same", **held} for n in range(number))


def write(job: Shell, *uids: str, name: str = "Same", country: str = "DE") -> None:
    """Write an export with one row a user."""
    job.write("users.csv", "uid,name,country\n" + "".join(f"{uid},{name},{country}\n" for uid in uids))


def apply(job: Shell, *more: str, code: int = 0) -> Result:
    """Apply the export, and see how it ends."""
    result = job("apply", "--yes", "--json", *more)
    assert result.code == code, (result.out, result.err)
    return result


def details(job: Shell) -> list[tuple[str, str]]:
    """Outcome and detail of each change of the newest run."""
    rows = csv.DictReader(job.latest("changes.csv").read_text(encoding="utf-8").splitlines())
    return [(row["outcome"], row["detail"]) for row in rows]


def metadata(sandbox: Sandbox, uid: str) -> Any:
    """What the app itself has of a user."""
    return sandbox.users()[uid].get("metadata")


def remember(job: Shell, private: Private) -> None:
    """Let the state file know what answers do with `metadata.@private`."""
    state = State(job.folder / "runs" / "state.sqlite", "demo")
    state.remember("private_metadata", private, "2026-01-01")
    state.close()


# Not found in the list


@pytest.mark.parametrize("others", [2_500, 21_000])
def test_a_user_that_the_search_finds_late_keeps_its_metadata(job: Shell, sandbox: Sandbox, others: int) -> None:
    """Many uids begin with this one: it is looked for on more pages, and left alone where that is too many."""
    sandbox.switch(**HIDES_ONE)
    held = {"country": "ZZ", "phone": "secret"}
    load(sandbox, **{"1": held})
    crowd(sandbox, others)
    write(job, "1", name="New")
    found = others < 20_000
    apply(job, code=0 if found else 4)

    assert metadata(sandbox, "1") == (held | {"country": "DE"} if found else held)
    assert sandbox.users()["1"]["name"] == "New"
    if not found:
        assert "CometChat did not show the metadata that the user has now" in details(job)[0][1]


def test_a_group_that_a_look_could_not_show_is_not_compared_in_a_retry(job: Shell, sandbox: Sandbox) -> None:
    """The user is unknown, and not in step."""
    sandbox.switch(**HIDES_ONE)
    load(sandbox, **{"1": {"country": "ZZ", "phone": "secret"}})
    crowd(sandbox, 21_000)
    write(job, "1")
    run_id = apply(job, code=4).json["run_id"]
    again = job("retry", run_id, "--yes", "--json")

    assert (again.code, again.json["drift"]["unknown"], again.json["plan"]["update"]) == (4, 1, 0)
    assert metadata(sandbox, "1") == {"country": "ZZ", "phone": "secret"}


def test_metadata_that_no_answer_shows_of_anybody_is_left_alone(job: Shell, sandbox: Sandbox) -> None:
    """The first write of some would have lost what that user has; a new user loses nothing."""
    sandbox.switch(get_metadata="hidden", list_metadata="hidden")
    load(sandbox, kea={"phone": "1"}, tui={"phone": "2"})
    write(job, "kea", "tui")
    apply(job, code=4)

    assert [metadata(sandbox, uid) for uid in ("kea", "tui")] == [{"phone": "1"}, {"phone": "2"}]
    assert {outcome for outcome, _ in details(job)} == {"skipped"}


def test_the_first_metadata_of_an_app_is_proven_by_a_new_user(job: Shell, sandbox: Sandbox) -> None:
    """Nobody has any, and one user is created with some: then looks are known to show it, and all is written."""
    load(sandbox, kea=None, tui=None)
    write(job, "kea", "moa", "tui")
    apply(job)

    assert [metadata(sandbox, uid) for uid in ("kea", "moa", "tui")] == [{"country": "DE"}] * 3


def test_the_first_metadata_of_an_app_is_written_where_the_policy_allows_it(job: Shell, sandbox: Sandbox) -> None:
    """Without a user to create, a person has to say that nothing can be lost."""
    load(sandbox, kea=None)
    write(job, "kea")
    refused = apply(job, code=4)
    apply(job, *ALLOW)

    assert "give one user some" in " ".join(refused.json["notes"])
    assert metadata(sandbox, "kea") == {"country": "DE"}


# metadata.@private


def test_where_private_metadata_is_hidden_no_existing_user_is_written(job: Shell, sandbox: Sandbox) -> None:
    """The other fields go, a new user is written whole, and the change that left a field says so."""
    sandbox.switch(private_metadata="hidden")
    load(sandbox, kea={"country": "ZZ", **PRIVATE}, tui={"country": "ZZ", **PRIVATE})
    write(job, "kea", "tui", "moa", name="New")
    apply(job, "--limit", "1")
    remember(job, Private.HIDDEN)
    planned = job("plan", "--json")
    result = apply(job, code=4)

    assert [sandbox.users()[uid]["name"] for uid in ("kea", "tui", "moa")] == ["New"] * 3
    assert [metadata(sandbox, uid) for uid in ("kea", "tui")] == [{"country": "ZZ", **PRIVATE}] * 2
    assert metadata(sandbox, "moa") == {"country": "DE"}
    assert {outcome for outcome, _ in details(job)} == {"skipped"}
    assert "CometChat hides metadata.@private" in " ".join(planned.json["notes"])
    assert "left fields as they are, because CometChat hides metadata.@private" in " ".join(result.json["notes"])
    apply(job, *ALLOW)
    assert metadata(sandbox, "kea") == {"country": "DE"}


def test_where_nothing_is_known_of_private_metadata_it_is_said(job: Shell, sandbox: Sandbox) -> None:
    """In the plan and in the report, in one line that names a remedy; not where only new users get metadata."""
    load(sandbox, kea={"country": "ZZ"})
    write(job, "kea", "moa")
    planned, applied = job("plan", "--json"), apply(job)
    write(job, "kea", "moa", "tui")
    quiet = apply(job)
    words = "no answer of CometChat has shown metadata.@private"

    for result in (planned, applied):
        assert sum(words in note for note in result.json["notes"]) == 1
        assert "leave metadata unmapped" in " ".join(result.json["notes"])
    assert words not in " ".join(quiet.json["notes"])


def test_an_answer_that_shows_private_metadata_settles_it(job: Shell, sandbox: Sandbox) -> None:
    """Of any user, and for all later runs."""
    load(sandbox, kea={"country": "ZZ"}, outside=PRIVATE)
    write(job, "kea")
    result = apply(job)

    assert "@private" not in " ".join(result.json["notes"])
    assert StateReader(job.folder / "runs" / "state.sqlite").remembered("private_metadata") == "shown"


@pytest.mark.parametrize("put", ["replace", "merge"])
def test_metadata_is_not_taken_away_whole_while_some_may_be_hidden(job: Shell, sandbox: Sandbox, put: str) -> None:
    """The key stays, and the change says that it did not stick; sixty of them do not stop the run."""
    sandbox.switch(private_metadata="hidden", metadata_put=put)
    uids = [f"u{n}" for n in range(60)]
    load(sandbox, **{uid: {"country": "ZZ", **PRIVATE} for uid in uids})
    write(job, *uids, country="")
    result = apply(job, "--set", "guards.clear={percent=100, floor=100}", code=4)

    assert result.json["outcomes"]["rejected"] == 60
    assert all(metadata(sandbox, uid) == {"country": "ZZ", **PRIVATE} for uid in uids)
    assert details(job)[0][1].startswith("did_not_stick: metadata.country (")
    assert {(field, value) for _, field, value in StateReader(job.folder / "runs" / "state.sqlite").stuck()} == {
        ("metadata.country", "")
    }


# No object


@pytest.mark.parametrize("held", [["a"], "notes", 7, False])
def test_metadata_that_is_not_an_object_is_left_alone(job: Shell, sandbox: Sandbox, held: object) -> None:
    """The name of the user goes all the same; a person may say otherwise, and then it is in the journal."""
    load(sandbox, kea=held, tui={"country": "DE", **PRIVATE})
    write(job, "kea", "tui", name="New")
    apply(job, code=4)
    kept = metadata(sandbox, "kea")
    said = details(job)
    apply(job, *ALLOW)

    assert (kept, sandbox.users()["kea"]["name"]) == (held, "New")
    assert any("the metadata is not an object" in detail for _, detail in said)
    assert metadata(sandbox, "kea") == {"country": "DE"}


# The way back


def test_undo_puts_back_what_a_write_lost_beside_its_own_fields(job: Shell, sandbox: Sandbox) -> None:
    """And leaves what others wrote since, also under a key of that name."""
    held = {"country": "ZZ", "phone": "1", "crm": {"id": 7}, "a.b": True}
    load(sandbox, kea=held, tui=PRIVATE)
    write(job, "kea")
    run_id = apply(job).json["run_id"]
    # As a service would leave it that keeps of a write less than it was sent.
    load(sandbox, kea={"country": "DE", "phone": "2", "since": 1})
    undone = job("undo", run_id, "--yes", "--json")

    assert undone.code == 0, undone.out
    assert metadata(sandbox, "kea") == held | {"phone": "2", "since": 1}


def test_undo_puts_back_the_private_key(job: Shell, sandbox: Sandbox) -> None:
    """It stands in the journal, where an answer showed it before the write."""
    load(sandbox, kea={"country": "ZZ", **PRIVATE})
    write(job, "kea")
    run_id = apply(job).json["run_id"]
    load(sandbox, kea={"country": "DE"})
    undone = job("undo", run_id, "--yes", "--json")

    assert undone.code == 0, undone.out
    assert metadata(sandbox, "kea") == {"country": "ZZ", **PRIVATE}


def test_undo_names_the_users_whose_metadata_was_no_object(job: Shell, sandbox: Sandbox) -> None:
    """CometChat takes none back that is not one."""
    load(sandbox, kea=["a", "list"], tui=PRIVATE)
    write(job, "kea")
    run_id = apply(job, *ALLOW).json["run_id"]
    undone = job("undo", run_id, "--yes", "--json")

    assert "kea (its metadata was not an object)" in " ".join(undone.json["notes"])


def test_undo_of_the_last_metadata_of_an_app_puts_it_back(job: Shell, sandbox: Sandbox) -> None:
    """Nobody shows any now: the first user proves that looks show it, as its metadata stands in the journal."""
    load(sandbox, kea={"country": "ZZ"}, tui={"country": "ZZ"})
    write(job, "kea", "tui", country="")
    apply(job, *ALLOW)
    run_id = job("runs", "--json").json["runs"][0]["run_id"]
    gone = metadata(sandbox, "kea")
    undone = job("undo", run_id, "--yes", "--json")

    assert (gone, undone.code) == (None, 0), undone.out
    assert [metadata(sandbox, uid) for uid in ("kea", "tui")] == [{"country": "ZZ"}] * 2


def test_what_a_write_replaces_is_in_the_journal_before_it_leaves(job: Shell, sandbox: Sandbox) -> None:
    """Also where no answer to the write ever comes; and `forget` erases it."""
    held = {"country": "ZZ", "phone": "1"}
    load(sandbox, kea=held)
    write(job, "kea")
    sandbox.fault("revoke_key", method="PUT", path="/users/*")
    stopped = job("apply", "--yes", "--json")
    sandbox.restore_key()
    runs = StateReader(job.folder / "runs" / "state.sqlite")
    kept = runs.replaced_metadata(stopped.json["run_id"])
    forgotten = job("forget", "kea", "--yes")

    assert {name: bytes(raw) for name, raw in kept["kea"].items()} == {"country": b'"ZZ"', "phone": b'"1"'}
    assert forgotten.code == 0, forgotten.err
    assert runs.replaced_metadata(stopped.json["run_id"]) == {}


def test_explain_does_not_call_empty_what_it_could_not_see(job: Shell, sandbox: Sandbox) -> None:
    """It names the group, and no change of it."""
    sandbox.switch(**HIDES_ONE)
    load(sandbox, **{"1": {"country": "ZZ"}})
    crowd(sandbox, 21_000)
    write(job, "1")
    explained = job("explain", "1")

    assert "CometChat did not show its metadata" in explained.out

"""Whether an export is believed: each guard of the source end to end, what is sent, and what the next night knows."""

import csv
import gzip
import io
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import StateReader
from tests.conftest import Result, Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import under_one_profile

# Whether an export is believed does not depend on how the service answers.
pytestmark = under_one_profile


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """A nightly job over exports of a hundred users and fewer."""
    return Nights(shell, sandbox)


def held(result: Result) -> list[str]:
    """The guards that hold a source, as the report shows them."""
    return [name for name, guard in result.json["guards"].items() if guard["verdict"] == "held"]


def test_every_failed_check_is_told_at_once_and_nothing_is_asked_for(nights: Nights) -> None:
    """Message, report and exit code, and not one request."""
    before = nights.run(100).json["run_id"]
    nights.shell.write("users.csv.sha256", "0" * 64 + "  users.csv\n")
    nights.sandbox.clear_log()
    refused = nights.run(
        40, "--expect-rows", "99", "--set", 'guards.sentinels=["phoenix"]', avatar="", night=-1, code=6
    )
    message = refused.json["error"]["message"]

    assert held(refused) == [
        "sha256", "expect_rows", "sentinels", "max_shrink_percent", "max_emptied", "as_of_behind",
    ]  # fmt: skip
    assert nights.sandbox.log() == []
    assert all(f"{guard}: " in message for guard in held(refused))
    assert all(
        guard["release"].startswith("--accept-source")
        for guard in refused.json["guards"].values()
        if guard["verdict"] == "held"
    )
    assert message.count(before) == 3
    assert "40 rows; run" in message
    assert "had 100, so at least 80 were expected" in message
    assert "avatar is empty in 100% of the rows" in message
    assert refused.json["verdict"] == "source_refused"


def test_what_is_accepted_once_is_the_measure_from_then_on(nights: Nights) -> None:
    """The night after needs no flag, and is held against the new size."""
    nights.run(100)
    nights.run(40, code=6)
    accepted = nights.run(40, "--accept-source")
    again, smaller = nights.run(40), nights.run(30, code=6)

    assert accepted.json["guards"]["max_shrink_percent"]["verdict"] == "released"
    assert "max_shrink_percent: 40 rows" in " ".join(accepted.json["notes"])
    assert not any("is held" in need for need in accepted.json["needs"])
    assert again.json["guards"]["max_shrink_percent"]["base"] == 40
    assert "had 40" in smaller.json["error"]["message"]


def test_accepting_what_is_in_order_changes_nothing(nights: Nights) -> None:
    """A flag that is left in a crontab does not make everybody forget the week."""
    nights.run(100)
    nights.run(90, "--accept-source")

    assert nights.run(75, code=6).json["guards"]["max_shrink_percent"]["base"] == 100


def test_a_slow_erosion_is_refused(nights: Nights) -> None:
    """Fifteen in a hundred less is believed; and fifteen more the night after is not."""
    first = nights.run(100).json["run_id"]
    nights.run(85)
    refused = nights.run(72, code=6)

    assert f"run {first} had 100, the most of the last 2 exports" in refused.json["error"]["message"]


def test_a_refused_night_is_no_measure_for_the_next(nights: Nights) -> None:
    """However often it is tried."""
    nights.run(100)
    for _ in range(3):
        nights.run(50, code=6)

    assert nights.run(80).json["guards"]["max_shrink_percent"]["base"] == 100


def test_a_run_that_ends_before_its_first_write_is_no_measure(nights: Nights) -> None:
    """It had made its plan, and nobody acted on it: exit 7."""
    nights.run(100, command=("apply", "--yes"))
    nights.sandbox.fault("revoke_key", method="GET", path="/users/*")
    ended = nights.run(81, command=("apply", "--yes"), code=7, name="Renamed")
    nights.sandbox.clear_faults()
    nights.sandbox.restore_key()

    assert ended.json["plan"]["update"] == 81
    assert nights.baselines() == [100]
    assert nights.run(80).json["guards"]["max_shrink_percent"]["base"] == 100


class _Keyboard(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_a_no_at_the_prompt_is_a_no_to_the_export_too(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever saw the counts and declined may have seen that it was wrong."""
    nights.run(100, command=("apply", "--yes"))
    monkeypatch.setattr("sys.stdin", _Keyboard("n\n"))
    nights.run(81, command=("apply",), code=2, name="Renamed")

    assert nights.baselines() == [100]


def test_a_canary_and_a_held_run_are_good_runs(nights: Nights) -> None:
    """Their source was believed; what was held is a matter of changes."""
    nights.run(100, command=("apply", "--yes", "--limit", "3"))
    nights.run(100, command=("apply", "--yes"))
    nights.run(90, "--set", "guards.update={percent=1, floor=1}", command=("apply", "--yes"), code=5, name="Other")

    assert nights.baselines() == [90, 100, 100]


def test_the_state_of_an_earlier_version_goes_on_working(nights: Nights) -> None:
    """It knew the rows and no more."""
    nights.run(100)
    with closing(sqlite3.connect(nights.state)) as state, state:
        state.execute("""UPDATE baselines SET facts = '{"run_id": "old-run", "rows": 100, "bases": null}'""")
        state.execute("DELETE FROM meta WHERE key = 'quarantine'")

    assert "run old-run had 100" in nights.run(60, code=6).json["error"]["message"]
    assert nights.run(90, avatar="").code == 0


def test_too_many_quarantined_rows_cost_one_request(nights: Nights) -> None:
    """The roles have to be known first; nothing else is asked for. What is wrong with most of them is said."""
    refused = nights.run(100, "--set", "guards.max_quarantined={percent=1, floor=5}", plan="royal", code=6)

    said = "100 rows: the app has no role 'royal' (row 2 is the first)"
    assert said in refused.json["error"]["message"]

    assert [(entry.method, entry.path.rpartition("/")[2].partition("?")[0]) for entry in nights.sandbox.log()] == [
        ("GET", "roles")
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{hash}  users.csv\n", None),
        ("{hash} *users.csv\n", None),
        ("{HASH}  /exports/users.csv.part\n", None),
        ("{hash}\n", None),
        ("{other}  users.csv\n", "users.csv.sha256 promises"),
        ("{hash}  users.csv\n{hash}  users.csv\n", "does not hold one line"),
        ("{hash}users.csv\n", "does not hold one line"),
        ("SHA256 (users.csv) = {hash}\n", "does not hold one line"),
        ("", "does not hold one line"),
    ],
)
def test_a_checksum_beside_the_export_is_held_against_its_bytes(
    nights: Nights, line: str, words: str | None
) -> None:
    """In the form that sha256sum writes; what cannot be read so is no promise kept."""
    digest = sha256(nights.write(20)).hexdigest()
    text = line.format(hash=digest, HASH=digest.upper(), other=sha256(b"").hexdigest())
    nights.shell.write("users.csv.sha256", text)
    result = nights.shell("plan", "--json")

    assert result.code == (6 if words else 0)
    assert words is None or words in result.json["error"]["message"]
    assert result.json["guards"]["sha256"]["verdict"] == ("held" if words else "pass")
    assert words is None or nights.shell("plan", "--accept-source").code == 0


CHANGED = ("--set", "guards.max_changed={percent=50, floor=10}")


def test_an_export_in_which_most_users_changed_is_refused_and_accepted_once(nights: Nights) -> None:
    """Before anything is asked for; the night after is held against what was accepted."""
    before = nights.run(100, *CHANGED).json["run_id"]
    nights.sandbox.clear_log()
    refused = nights.run(100, *CHANGED, name="Other", code=6)
    asked = nights.sandbox.log()
    nights.run(100, *CHANGED, "--accept-source", name="Other")
    after = nights.run(100, *CHANGED, name="Other")
    back = nights.run(100, *CHANGED, code=6)

    assert (held(refused), held(back), asked) == (["max_changed"], ["max_changed"], [])
    assert refused.json["guards"]["max_changed"] | {"release": ""} == {
        "measured": 100, "base": 100, "limit": 50, "verdict": "held", "release": "",
        "because": f"of 100 users in run {before}, 100 have other values and 0 are gone; "
        "no more than 50 in all were expected",
    }  # fmt: skip
    assert after.json["guards"]["max_changed"]["measured"] == 0


def test_changed_rows_are_held_against_the_last_good_run_alone(nights: Nights) -> None:
    """Not against one that ended before its first write; a changed mapping is no change of the export."""
    nights.run(100, *CHANGED, command=("apply", "--yes"))
    nights.sandbox.fault("revoke_key", method="GET", path="/users/*")
    nights.run(100, "--accept-source", command=("apply", "--yes"), name="Other", code=7)
    nights.sandbox.clear_faults()
    nights.sandbox.restore_key()

    assert nights.run(100, *CHANGED).json["guards"]["max_changed"]["measured"] == 0
    assert "max_changed" not in nights.run(100, *CHANGED, "--map", "link=avatar", name="Other").json["guards"]
    kept = [bool(baseline.sketch) for baseline in StateReader(nights.state).baselines()]
    assert kept == [True, True, False]


def test_a_forgotten_user_is_in_no_sketch(nights: Nights) -> None:
    """Neither in those of earlier nights nor in the next, while its row is still there; the rest is compared."""
    nights.run(100, *CHANGED)
    nights.run(100, *CHANGED)
    nights.shell("forget", "user-7", "--yes")
    earlier = [baseline.sketch for baseline in StateReader(nights.state).baselines()]
    after = nights.run(100, *CHANGED, name="Other", code=6).json["guards"]["max_changed"]
    nights.run(100, *CHANGED, "--accept-source", name="Other")
    sketches = [*earlier, *(baseline.sketch for baseline in StateReader(nights.state).baselines())]

    assert [sketch.users for sketch in sketches if sketch] == [99, 99, 99, 99]
    assert [len(sketch.uids) for sketch in sketches if sketch] == [8 * 99] * 4
    assert (after["measured"], after["base"]) == (99, 99)


def test_other_columns_are_pointed_out(nights: Nights) -> None:
    """What is not mapped may come and go."""
    nights.run(20)
    result = nights.run(20, spare="x")

    assert "new: spare" in " ".join(result.json["notes"])


def test_an_old_export_is_pointed_out(nights: Nights) -> None:
    """The same file night after night is believed, and said."""
    nights.run(20, night=-3)

    assert "the export is 3 days old" in " ".join(nights.shell("plan", "--json").json["notes"])


def test_the_doctor_knows_the_measure(nights: Nights) -> None:
    """Before somebody finds out at night."""
    run_id = nights.run(20).json["run_id"]
    findings = {finding["what"]: finding["words"] for finding in nights.shell("doctor", "--json").json["findings"]}

    assert f"the last good run {run_id} had 20 rows" in findings["state"]


# Collisions, and the rest of the quarantine


def quarantine(shell: Shell) -> list[dict[str, str]]:
    """The table of the newest run."""
    with shell.latest("quarantine.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


COLLIDING = """\
id,name,plan,avatar
Heron-7,Heron,,
wren,Wren,,
heron-7,Other heron,,
0,Nobody,,
owl,,,
 HERON-7 ,Third heron,,
"""


def test_a_collision_is_in_quarantine_row_by_row_and_touches_nobody(nights: Nights) -> None:
    """Each row names the others with their lines; the user is neither missing nor unmanaged."""
    nights.sandbox.load_users([{"uid": "heron-7", "name": "As it was", "createdAt": 1_700_000_000}])
    nights.write_text(COLLIDING)
    result = nights.shell(
        "apply", "--yes", "--json", "--set", "policy.unmanaged=deactivate", "--set", "policy.unmanaged_scope=all"
    )
    rows = quarantine(nights.shell)

    assert [(row["source_row"], row["uid"], row["kind"]) for row in rows] == [
        ("2", "heron-7", "collision"),
        ("4", "heron-7", "collision"),
        ("5", "0", "invalid"),
        ("6", "owl", "invalid"),
        ("7", "heron-7", "collision"),
    ]
    assert (
        rows[0]["detail"]
        == "row 2 ('Heron-7') folds to 'heron-7', and so does row 4 ('heron-7'), row 7 ('HERON-7')"
    )
    assert (result.json["drift"]["missing"], result.json["drift"]["shielded"]) == (1, 1)
    assert nights.sandbox.users()["heron-7"]["name"] == "As it was"
    assert "deactivatedAt" not in nights.sandbox.users()["heron-7"]


def test_quarantined_rows_are_told_apart_into_new_and_known(nights: Nights) -> None:
    """By whom they mean and what is wrong, wherever they stand in the file; a refused night does not count."""

    def told(text: str, *flags: str) -> str:
        nights.write_text(text)
        return " ".join(nights.shell("plan", "--json", *flags).json["needs"])

    head, bad = "id,name,plan,avatar\n", "ow l,Owl,,\nhen,,,\n"
    assert "2 source rows are quarantined: see" in told(head + bad)
    assert "2 source rows are quarantined (0 new): see" in told(head + "fig,Fig,,\n" + bad)
    told(head + "a b,A,,\n" + bad, "--expect-rows", "99")
    assert "3 source rows are quarantined (1 new): see" in told(head + bad + "a b,A,,\n")
    assert "4 source rows are quarantined (2 new): see" in told(head + bad + "Jay,Jay,,\njay,Jay,,\n")


# When it was true


def _as_gzip(path: Path, text: bytes) -> None:
    path.write_bytes(gzip.compress(text))


def _as_parquet(path: Path, text: bytes) -> None:
    pd.read_csv(io.BytesIO(text), dtype=str).to_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [("users.csv", Path.write_bytes), ("users.csv.gz", _as_gzip), ("users.parquet", _as_parquet)],
    ids=["csv", "gzip", "parquet"],
)
def test_a_file_was_true_when_it_was_written(nights: Nights, name: str, write: Any) -> None:
    """Whatever its format."""
    path = nights.shell.folder / name
    write(path, nights.write(5))
    nights.age(path, night=-2)
    result = nights.shell("plan", "--json", "--source", name)

    assert result.code == 0
    assert nights.as_of(result) == int(path.stat().st_mtime)


def test_what_comes_through_a_pipe_or_from_a_query_is_true_now(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says otherwise; the setting may."""
    with (nights.shell.folder / "users.csv").open("wb") as file:
        file.write(nights.write(5))
    with closing(sqlite3.connect(nights.shell.folder / "users.db")) as database, database:
        database.execute("CREATE TABLE users AS SELECT 'wren' AS id, 'Wren' AS name, '' AS plan, '' AS avatar")
    nights.age(nights.shell.folder / "users.db", night=-2)
    query = nights.shell("plan", "--json", "--source", "sqlite:///users.db", "--query", "select * from users")
    with (nights.shell.folder / "users.csv").open(encoding="utf-8") as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        piped = nights.shell("plan", "--json", "--source", "-")
    said = nights.shell("plan", "--json", "--accept-source", "--set", "source.as_of=2026-01-02T03:04:05+01:00")

    for result in (query, piped):
        assert 0 <= nights.as_of(result) - nights.started_at(result) <= 60
    assert said.json["source"]["as_of"] == "2026-01-02T02:04:05+00:00"


def test_an_export_of_times_to_come_is_refused_and_accepted_as_of_now(nights: Nights) -> None:
    """Otherwise nobody would be newer than it."""
    refused = nights.run(5, night=1, code=6)
    accepted = nights.run(5, "--accept-source", night=1)

    assert held(refused) == ["as_of_ahead"]
    assert "look at the clocks" in refused.json["error"]["message"]
    assert nights.as_of(accepted) <= nights.started_at(accepted) + 60


def test_an_older_file_than_last_time_is_refused_until_it_is_accepted(nights: Nights) -> None:
    """Probably it is the wrong one: a user who signed up in between would be missing from it."""
    newest = nights.run(20, night=-1).json["run_id"]
    refused = nights.run(20, night=-2, code=6)
    nights.run(20, "--accept-source", night=-2)

    assert held(refused) == ["as_of_behind"]
    assert f"older than the export of run {newest}" in refused.json["error"]["message"]
    assert nights.run(20, night=-2).json["guards"]["as_of_behind"]["verdict"] == "pass"


def test_a_refused_export_leaves_an_unfinished_run_to_be_resumed(nights: Nights) -> None:
    """Once it was superseded first, by requests, for the sake of an export that nobody believed."""
    nights.sandbox.fault("revoke_key", method="POST", path="/users", nth=5)
    stopped = nights.run(60, command=("apply", "--yes"), code=8)
    nights.sandbox.clear_faults()
    nights.sandbox.restore_key()
    nights.sandbox.clear_log()
    nights.run(20, command=("apply", "--yes"), code=6)
    asked = nights.sandbox.log()
    resumed = nights.shell("resume", "--json")

    assert asked == []
    assert (resumed.code, resumed.json["run_id"]) == (0, stopped.json["run_id"])
    assert len(nights.sandbox.users()) == 60

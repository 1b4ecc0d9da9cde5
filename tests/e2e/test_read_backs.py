"""What the answers to writes leave open, read back: by a look each where they are few, by the list where they are many."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator

import pytest

from reconcile.applying import confirming
from reconcile.applying.confirming import Confirmations
from reconcile.errors import DirectoryStopped
from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import StateReader
from tests.conftest import Result, Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import PROFILES, Profile
from tests.e2e.test_requests import LONG_AGO, NO_GUARDS, SWITCH_OFF
from tests.e2e.traces import uids_with

SOON, FEW = 3, 16  # read back at once, and what it costs to find the list and its end
LATER = 4_000_000_000
COUNTRY = ("--map", "metadata.country=country", "--map", "tags=tags", *NO_GUARDS)
MANY = 40


@pytest.fixture
def profile() -> Profile:
    """The switches are turned here."""
    return PROFILES["observed"]


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Nights:
    """A job over a service whose answers to writes show neither tags nor metadata."""
    sandbox.switch(echo_metadata="hidden", echo_tags="hidden")
    monkeypatch.setattr(confirming, "AT_ONCE", SOON)
    monkeypatch.setattr("reconcile.applying.hands.PAUSE_S", 0.001)
    return Nights(shell, sandbox)


def load(sandbox: Sandbox, numbers: range, country: str, **more: object) -> None:
    """Put users into the directory who live in this country."""
    known = {"name": "Same", "role": "default", "createdAt": LONG_AGO, "updatedAt": LONG_AGO + 1, "tags": ["a"]}
    metadata = {"country": country, "theme": "dark"}
    sandbox.load_users({"uid": f"user-{number}", **known, "metadata": metadata, **more} for number in numbers)


def write(nights: Nights, rows: int, country: str = "ES") -> None:
    """Write an export of so many users, all in one country."""
    nights.write(rows, avatar="", country=country, tags="a")


def apply(nights: Nights, *more: str, code: int = 0, command: tuple[str, ...] = ("apply", "--yes")) -> Result:
    """Run a command that writes, and see how it ends."""
    flags = (*COUNTRY, *more) if command[0] == "apply" else ()
    nights.sandbox.clear_log()
    result = nights.shell(*command, "--json", *flags)
    assert result.code == code, (result.out, result.err)
    return result


def applying(sandbox: Sandbox, report: dict[str, dict[str, int]]) -> int:
    """The requests that came after the plan."""
    return sandbox.counters().requests - report["directory"]["requests"]


def listed(sandbox: Sandbox) -> int:
    """The pages of the list of the active users that were asked for after the first write."""
    log = sandbox.log()
    first = next(at for at, entry in enumerate(log) if entry.method in {"PUT", "POST"})
    return sum(entry.endpoint == "GET /users" for entry in log[first:])


Moment = Callable[[Callable[[], None]], None]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Moment:
    """Have something happen behind the last write, before the first of them is confirmed by the list."""
    confirmed = Confirmations.by_page

    def at(happens: Callable[[], None]) -> None:
        def by_page(self: Confirmations) -> Generator[confirming.Seen, None, None]:
            happens()
            return confirmed(self)

        monkeypatch.setattr(Confirmations, "by_page", by_page)

    return at


@pytest.mark.parametrize("hides", ["nothing", "get"])
def test_many_are_read_back_by_page(nights: Nights, sandbox: Sandbox, hides: str) -> None:
    """Creates, updates and deactivations: a look and a write each, and the pages; the night after is quiet."""
    if hides == "get":
        sandbox.switch(get_metadata="hidden", get_tags="hidden")
    load(sandbox, range(1, MANY + 1), "NZ")
    load(sandbox, range(100_001, 100_011), "NZ")
    write(nights, MANY + 20)
    report = apply(nights, *SWITCH_OFF).json
    changes, looks = MANY + 20, 1 if hides == "nothing" else 2

    assert report["outcomes"]["applied"] == changes + 10
    # What single users hide, each look of an update asks the list for; who is to be created is nowhere.
    fact, by_list = applying(sandbox, report), (looks - 1) * (MANY + 10)
    # Since when the ten deactivated users are so is read back from their list.
    dates = 5
    most = 2 * changes + 11 + by_list + looks * SOON + 1 + FEW + dates
    assert fact <= most, Counter(e.endpoint for e in sandbox.log())
    assert nights.shell("plan", "--check", *COUNTRY).code == 0


def test_few_are_read_back_one_by_one(nights: Nights, sandbox: Sandbox) -> None:
    """A walk has an end that costs more."""
    load(sandbox, range(1, 13), "NZ")
    write(nights, 12)
    report = apply(nights).json

    assert report["outcomes"]["applied"] == 12
    assert applying(sandbox, report) <= 3 * 12 + 2
    assert listed(sandbox) == 0


def test_a_list_that_does_not_show_it_is_not_walked_for_it(nights: Nights, sandbox: Sandbox) -> None:
    """Each is looked at, as only that shows it."""
    sandbox.switch(list_metadata="hidden")
    load(sandbox, range(1, MANY + 1), "NZ")
    write(nights, MANY)
    report = apply(nights).json

    assert report["outcomes"]["applied"] == MANY
    assert applying(sandbox, report) <= 3 * MANY + FEW
    assert listed(sandbox) <= FEW


def test_a_metadata_key_is_taken_away_where_updates_merge(nights: Nights, sandbox: Sandbox) -> None:
    """That takes a second write, which no later look may leave out."""
    sandbox.switch(metadata_put="merge")
    load(sandbox, range(1, MANY + 1), "NZ", metadata={"country": "NZ"})
    load(sandbox, range(100_001, 100_002), "NZ", metadata={"@private": {"email": "n@example.com"}})
    write(nights, MANY, country="")
    report = apply(nights).json

    assert report["outcomes"]["applied"] == MANY
    assert not any(user.get("metadata") for uid, user in sandbox.users().items() if len(uid) < 9)


def test_what_does_not_stick_stops_the_run_as_ever(nights: Nights, sandbox: Sandbox) -> None:
    """Fifty in a row for the same reason: also where they come from the list."""
    sandbox.switch(empty_tags="ignore")
    load(sandbox, range(1, 61), "ES")
    nights.write(60, avatar="", country="ES", tags="")
    report = apply(nights, "--set", "limits.concurrency=4", code=8).json

    assert 50 <= report["outcomes"]["rejected"] <= 54
    assert "did_not_stick: tags" in report["error"]["message"]


@pytest.mark.parametrize(
    ("path", "outcome"), [("/users", "applied"), ("/users*", "failed")], ids=["of the list", "of all"]
)
def test_a_look_that_lags_proves_nothing(nights: Nights, sandbox: Sandbox, path: str, outcome: str) -> None:
    """Rows older than the write are looked at; where all looks lag, it is for a retry, and nobody is switched off."""
    load(sandbox, range(1, MANY + 1), "NZ")
    load(sandbox, range(100_001, 100_004), "NZ")
    write(nights, MANY)
    sandbox.fault("stale_read", ms=3_600_000, method="GET", path=path)
    report = apply(nights, *SWITCH_OFF, code=0 if outcome == "applied" else 4).json
    tried = MANY + (3 if outcome == "applied" else 0)

    assert report["outcomes"][outcome] == tried
    assert report["outcomes"]["not_attempted"] == MANY + 3 - tried
    assert all(user["metadata"]["country"] == "ES" for uid, user in sandbox.users().items() if len(uid) < 9)


def test_who_was_touched_meanwhile_is_no_failure_of_ours(
    nights: Nights, sandbox: Sandbox, between: Moment
) -> None:
    """Changed or gone after the write: skipped, not remembered as what never sticks, and the others go on."""
    load(sandbox, range(1, MANY + 1), "NZ")
    load(sandbox, range(100_001, 100_004), "NZ")
    write(nights, MANY)

    def meanwhile() -> None:
        load(sandbox, range(MANY, MANY + 1), "FR", updatedAt=LATER)
        load(sandbox, range(MANY - 1, MANY), "ES", updatedAt=LATER, deactivatedAt=LATER)

    between(meanwhile)
    report = apply(nights, *SWITCH_OFF, code=4).json

    assert report["outcomes"]["skipped"] == 2
    assert uids_with(nights.shell, "skipped") <= {f"user-{MANY}", f"user-{MANY - 1}"}
    assert sum(bool(user.get("deactivatedAt")) for user in sandbox.users().values()) == 3 + 1
    assert not StateReader(nights.state).stuck()


KILLED = f"""
import os, sys
from reconcile.applying import confirming
confirming.AT_ONCE = {SOON}
confirming.Confirmations.by_page = lambda self: os.kill(os.getpid(), {int(signal.SIGKILL)})
from reconcile.__main__ import main
sys.argv[0] = "reconcile"
main()
"""


@pytest.mark.parametrize("then", [("resume",), ("apply", "--yes")], ids=["resume", "apply"])
def test_killed_before_it_was_confirmed_it_is_not_sent_again(
    nights: Nights, sandbox: Sandbox, then: tuple[str, ...]
) -> None:
    """By the run itself, or by one that takes its place; both look by page."""
    load(sandbox, range(1, MANY + 1), "NZ")
    write(nights, MANY + 20)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "apply", "--yes", *COUNTRY],
        env=dict(os.environ),
        check=False,
        capture_output=True,
    )
    written = sandbox.counters().writes
    assert (killed.returncode, written) == (-signal.SIGKILL, MANY + 20), killed.stderr
    report = apply(nights, command=then).json

    assert sandbox.counters().writes == 0
    assert sandbox.counters().requests < MANY
    assert report["outcomes"]["applied"] == (MANY + 20 if then == ("resume",) else 0)
    assert nights.shell("plan", "--check", *COUNTRY).code == 0


def test_a_run_that_is_stopped_says_what_it_sent(nights: Nights, sandbox: Sandbox, between: Moment) -> None:
    """Not attempted is all that has no outcome; that some of it was written is said beside it."""

    def stop() -> None:
        raise DirectoryStopped("the key was revoked", hint="reconcile resume")

    load(sandbox, range(1, MANY + 1), "NZ")
    write(nights, MANY)
    between(stop)
    report = apply(nights, code=8).json
    left = report["outcomes"]["not_attempted"]

    assert MANY - SOON - 4 <= left <= MANY - SOON
    assert f"{left} of the changes that count as not attempted were sent and answered" in " ".join(report["notes"])

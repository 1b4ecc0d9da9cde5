"""Promises about a night with nothing to do: it writes nothing, and costs the walk and a fixed few requests."""

import pytest

from reconcile.sandbox.journal import Entry
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

USERS = 4_500
PAGES = 5 + 1  # of a thousand, and the empty one behind them
DEACTIVATED_PAGES = 1 + 1
WINDOW = 8  # pages in flight, so that some behind the empty one have left when it comes
FIXED = 4  # three looks at where the list begins, and one at where it would be too long to walk


@pytest.fixture
def settled(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """An app that was brought in step with its export the night before."""
    (shell.folder / "reconcile.toml").unlink()
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", "users.csv")
    made = {"createdAt": 1_700_000_000}
    sandbox.load_users({"uid": f"u{i}", "name": f"Wren {i}", **made} for i in range(USERS - 1))
    sandbox.load_users([{"uid": "asleep", "name": "Asleep", "deactivatedAt": 1_700_000_001, **made}])
    shell.write("users.csv", "uid,name\n" + "".join(f"u{i},Wren {i}\n" for i in range(USERS)))
    assert shell("apply", "--yes", "--quiet").code == 0
    sandbox.clear_log()
    return shell


def is_page(entry: Entry) -> bool:
    """Whether a request asks for a page of the list of users."""
    return entry.endpoint == "GET /users"


@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes")], ids=["plan", "apply"])
def test_a_quiet_night_costs_the_walk_and_a_fixed_few_requests(
    settled: Shell, sandbox: Sandbox, command: tuple[str, ...]
) -> None:
    """Nobody is looked at one by one, and nothing is sent that could write."""
    before = sandbox.users()
    result = settled(*command, "--json")
    log = sandbox.log()
    pages = [entry for entry in log if is_page(entry)]

    assert (result.code, result.json["verdict"]) == (0, "in_step")
    assert result.json["drift"]["in_step"] == USERS
    assert {entry.method for entry in log} == {"GET"}
    assert sandbox.users() == before
    assert len(pages) <= PAGES + DEACTIVATED_PAGES + FIXED + WINDOW
    assert [entry.endpoint for entry in log if not is_page(entry)] == ["GET /roles"]
    assert len(log) == sum(result.json["requests"][group] for group in ("core", "standard"))


def test_the_cost_of_a_quiet_night_does_not_grow_with_what_was_done_before(
    settled: Shell, sandbox: Sandbox
) -> None:
    """The tenth is as cheap as the first."""
    counts = []
    for _ in range(4):
        sandbox.clear_log()
        assert settled("apply", "--yes", "--quiet").code == 0
        counts.append(len(sandbox.log()))

    # Whether a page behind the empty one has left by then is a matter of luck.
    assert max(counts) - min(counts) <= WINDOW
    assert sandbox.counters().writes == 0

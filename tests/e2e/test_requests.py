"""How many requests a run costs: counted in the log of the look-alike, and held against what the plan foretold."""

import json
from collections import Counter

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.e2e.nights import Nights
from tests.e2e.profiles import Profile, under_one_profile

PER_PAGE, WINDOW, HANDFUL = 1_000, 8, 10
LONG_AGO = 1_600_000_000
AVATAR = "https://img.example.com/1.png"
NO_GUARDS = [
    flag
    for kind in ("create", "update", "role_change", "clear", "deactivate", "reactivate")
    for flag in ("--set", f"guards.{kind}={{percent=100, floor=100000}}")
]
SWITCH_OFF = ("--set", "policy.unmanaged=deactivate", "--set", "policy.unmanaged_scope=all")


@pytest.fixture
def nights(shell: Shell, sandbox: Sandbox) -> Nights:
    """A job over an empty app, with a mapping of name, role and avatar."""
    return Nights(shell, sandbox)


def load(sandbox: Sandbox, numbers: range, **but: object) -> None:
    """Put users into the directory who hold what the export says, but for these fields."""
    known = {"name": "Same", "role": "default", "avatar": AVATAR, "createdAt": LONG_AGO}
    sandbox.load_users({"uid": f"user-{number}", **known, **but} for number in numbers)


def pages(users: int) -> int:
    """The pages that so many users fill."""
    return -(-users // PER_PAGE)


def most(source: int, active: int, off: int) -> int:
    """The most that a plan may cost: the cheaper of both ways, two windows, a handful, and the second looks."""
    walk = pages(active) + pages(off)
    missing = max(0, source - active)
    by_walk = walk + 2 * WINDOW + HANDFUL + min(missing, walk + 2 * WINDOW + 2)
    by_uid = source + pages(off) + 2 * WINDOW + HANDFUL
    return min(by_walk, by_uid)


@pytest.mark.parametrize(
    ("source", "active", "off"),
    [
        pytest.param(1, 0, 0, id="an empty app"),
        pytest.param(1, 1, 1, id="one each"),
        pytest.param(3, 4_500, 0, id="few of many"),
        pytest.param(3, 3_500, 1_500, id="few of many, and some deactivated"),
        pytest.param(999, 999, 0, id="a page but one"),
        pytest.param(1_000, 1_000, 1_000, id="a page to the brim"),
        pytest.param(1_001, 1_001, 1_001, id="a page and one"),
        pytest.param(2_500, 2_500, 0, id="in step"),
        pytest.param(2_500, 2_490, 0, id="some missing"),
        pytest.param(2_500, 100, 0, id="most missing"),
    ],
)
def test_a_plan_costs_no_more_than_its_pages(
    nights: Nights, sandbox: Sandbox, source: int, active: int, off: int
) -> None:
    """Pages, two windows and ten, and the second looks; or a request a user, where that is less."""
    load(sandbox, range(1, active + 1))
    load(sandbox, range(100_001, 100_001 + off), deactivatedAt=LONG_AGO)
    result = nights.run(source, *NO_GUARDS)
    sent = sandbox.counters().requests

    assert sent <= most(source, active, off), Counter(entry.endpoint for entry in sandbox.log())
    assert sent == result.json["directory"]["requests"]


@pytest.mark.parametrize(
    ("missing", "stale", "unmanaged"),
    [
        pytest.param(1, 0, 0, id="one create"),
        pytest.param(0, 1, 0, id="one update"),
        pytest.param(0, 0, 1, id="one deactivation"),
        pytest.param(30, 20, 0, id="creates and updates"),
        pytest.param(3, 4, 60, id="three batches of deactivations"),
    ],
)
def test_applying_costs_a_look_and_a_write_a_change(
    nights: Nights, sandbox: Sandbox, profile: Profile, missing: int, stale: int, unmanaged: int
) -> None:
    """As the plan foretold within a tenth; 25 deactivations share a write, and their dates are read back."""
    load(sandbox, range(1, stale + 1), name="Old")
    load(sandbox, range(stale + 1, 101))
    load(sandbox, range(100_001, 100_001 + unmanaged))
    nights.write(100 + missing)
    before = nights.run(100 + missing, *NO_GUARDS, *SWITCH_OFF).json
    sandbox.clear_log()
    report = nights.run(100 + missing, *NO_GUARDS, *SWITCH_OFF, "--yes", command=("apply",)).json
    fact = sandbox.counters().requests - report["directory"]["requests"]
    off = unmanaged + -(-unmanaged // 25) + min(unmanaged, 5)

    assert before["forecast"] == report["forecast"]
    assert report["forecast"]["requests"] == 2 * (missing + stale) + off
    assert abs(fact - report["forecast"]["requests"]) <= report["forecast"]["requests"] / 10
    assert report["outcomes"]["applied"] == missing + stale + unmanaged
    if profile.environment:  # Nobody told the app's limits.
        assert report["forecast"]["share"] == {"core": None, "standard": None}
    else:
        core = missing + -(-unmanaged // 25)
        standard = report["forecast"]["requests"] - core
        assert report["forecast"]["share"] == {"core": core / 10_000, "standard": standard / 20_000}
    assert json.loads(nights.shell.latest("report.json").read_text("utf-8"))["forecast"] == report["forecast"]


@pytest.mark.parametrize("way", ["apply", "apply RUN"])
def test_a_run_of_everything_costs_what_was_forecast(
    nights: Nights, sandbox: Sandbox, profile: Profile, way: str
) -> None:
    """Creates, updates, role changes, users of both, reactivations, deactivations: within a tenth, and so it is reported."""
    policy = (*SWITCH_OFF, "--set", "policy.deactivated=reactivate", *NO_GUARDS)
    load(sandbox, range(1, 101))
    nights.run(90, *policy, "--yes", "--accept-mapping", command=("apply",), plan="default")
    load(sandbox, range(1, 21), name="Old")
    load(sandbox, range(21, 31), role="premium")
    load(sandbox, range(31, 34), name="Old", role="premium")
    load(sandbox, range(100_001, 100_031))
    planned = nights.run(130, *policy, plan="default").json
    sandbox.clear_log()
    flags = policy if way == "apply" else ()
    target = () if way == "apply" else (planned["run_id"],)
    result = nights.shell("apply", *target, "--yes", "--json", *(flags or policy))
    assert result.code == 0, (result.out, result.err)
    report = result.json
    before = report["directory"]["requests"] or 1  # for a saved plan the roles are asked for

    assert planned["plan"] == {"create": 30, "update": 36, "reactivate": 10, "deactivate": 30, "held": 0}
    assert report["outcomes"]["applied"] == 106
    assert report["requests"]["applying"] == sandbox.counters().requests - before
    assert report["forecast"]["requests"] == planned["forecast"]["requests"]
    assert abs(report["requests"]["applying"] / report["forecast"]["requests"] - 1) <= 0.1


def test_each_command_reports_the_requests_that_the_service_counted(nights: Nights, sandbox: Sandbox) -> None:
    """Also where a run is stopped, resumed, tried again or undone: to the single request."""
    load(sandbox, range(1, 11), name="Old")

    def counted(*command: str, code: int = 0) -> str:
        sandbox.clear_log()
        more = () if command[0] == "resume" else NO_GUARDS
        result = nights.shell(
            *command, "--json", *more, *(("--yes",) if command[0] not in {"plan", "resume"} else ())
        )
        assert result.code == code, (result.out, result.err)
        requests = result.json["requests"]
        assert requests["core"] + requests["standard"] == sandbox.counters().requests, command
        return str(result.json["run_id"])

    nights.write(12)
    run_id = counted("plan")
    counted("apply", run_id, "--limit", "3")
    counted("apply", run_id)
    nights.write(14, name="New")
    sandbox.fault("revoke_key", method="PUT", nth=4)
    counted("apply", code=8)
    sandbox.restore_key()
    counted("resume")
    nights.write(14, name="Newer")
    sandbox.fault("status", code=422, error="ERR_BAD_REQUEST", method="PUT", nth=1)
    sandbox.fault("status", code=503, method="PUT", nth=2, when="after")
    run_id = counted("apply", code=4)
    counted("retry", run_id)
    counted("undo", run_id)


def test_deactivations_do_not_wait_for_each_others_looks(nights: Nights, sandbox: Sandbox) -> None:
    """Several batches at a time: one look after the other would use a fraction of the budget."""
    load(sandbox, range(1, 101))
    load(sandbox, range(100_001, 100_101))
    nights.run(100, *NO_GUARDS, *SWITCH_OFF)
    sandbox.fault("latency", low_ms=20, high_ms=20)
    sandbox.clear_log()
    nights.run(100, *NO_GUARDS, *SWITCH_OFF, "--yes", command=("apply",))
    log = sandbox.log()
    first = next(number for number, entry in enumerate(log) if entry.method == "DELETE")

    assert sum(entry.uid is not None for entry in log[:first]) >= 50
    assert sum(entry.method == "DELETE" for entry in log) == 4


@under_one_profile
def test_the_forecast_is_told_before_anything_is_written_and_beside_the_fact_after_it(
    nights: Nights, sandbox: Sandbox, profile: Profile
) -> None:
    """On the terminal, in Markdown and in HTML: requests, seconds, and the share of the app's budget."""
    load(sandbox, range(1, 11), name="Old")
    nights.write(10)
    plan = nights.shell("plan", *NO_GUARDS).out
    markdown, page = (nights.shell.latest(f"report.{form}").read_text("utf-8") for form in ("md", "html"))
    shares = "0 % of core, 0.1 % of standard"

    for told, requests in ((plan, "20 requests"), (markdown, "20 requests"), (page, "<b>20</b>")):
        assert requests in told
        assert (shares in told) is not bool(profile.environment)
    applied = nights.shell("apply", "--yes", *NO_GUARDS).out
    assert "20 requests in " in applied
    assert "20 in 0 s were forecast" in applied

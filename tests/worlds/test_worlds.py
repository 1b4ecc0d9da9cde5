"""
Random worlds: whatever stands in the directory, the export and the settings, and whatever the weather, the
directory ends as an oracle says that knows the rules and not the code.
"""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconcile.sandbox import describe
from reconcile.sandbox.testing import Sandbox
from reconcile.store.state import State
from tests.conftest import Result, Shell
from tests.e2e.traces import creates_per_uid
from tests.scale import dice, how_many
from tests.worlds.drawing import AGE_S, LONG_AGO, Night, World, draw_world, export, settings
from tests.worlds.oracle import Expected, Service, expect, is_heard
from tests.worlds.rows import Desired, read_rows

# A deadline that comes while an object is let go is not seen there, and comes again.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PATIENCE_S = 10.0
WRITES = "PUT,POST,DELETE"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts prove nothing here; silence is told from slowness after a second."""
    monkeypatch.setattr("reconcile.cometchat.client.BACKOFF_S", 0.005)
    monkeypatch.setattr("reconcile.applying.hands.PAUSE_S", 0.02)
    monkeypatch.setattr("reconcile.cometchat.client.TIMEOUT", httpx.Timeout(1.0))


@pytest.mark.parametrize("case", range(how_many(100, soak=10_000)))
def test_a_world_ends_as_the_oracle_says(shell: Shell, sandbox: Sandbox, case: int) -> None:
    """Managed fields as the export says, everything else as it was, and every report adds up."""
    now_s = int((shell.folder / "users.csv").stat().st_mtime)
    world = draw_world(dice(f"world {case}"), now_s)
    answers = _answers(world)
    sandbox.use_profile(world.profile)
    sandbox.switch(**world.switches)
    sandbox.load_users(world.directory)
    sandbox.advance(world.skew_s)
    is_hidden = world.is_proven and answers["private_metadata"] == "hidden"
    if is_hidden:
        Path("runs").mkdir(mode=0o700)
        with closing(State(Path("runs/state.sqlite"), "demo")) as state:
            state.remember("private_metadata", "hidden", "2026-01-01T00:00:00+00:00")
    service = Service(answers, now_s - AGE_S + world.skew_s, skew_s=world.skew_s, is_private_hidden=is_hidden)
    for night in world.nights:
        if service.is_over:
            break
        service = _Play(world, night, shell, sandbox, service).run()


def _answers(world: World) -> dict[str, str]:
    from reconcile.sandbox.profiles import profile  # noqa: PLC0415

    values = profile(world.profile)
    return {row.name: str(getattr(values, row.name)) for row in describe()} | world.switches


class _Play:
    """One night of a world."""

    def __init__(self, world: World, night: Night, shell: Shell, sandbox: Sandbox, service: Service) -> None:
        self.world = world
        self.night = night
        self.shell = shell
        self.sandbox = sandbox
        self.service = service
        self.ended: list[str] = []
        self.taught: frozenset[str] = frozenset()
        self.desired: Desired | None = None
        self.is_fair = not night.weather and night.stop == "none"

    def run(self) -> Service:
        """Play it to its end, hold it against the oracle, and give what the next night has to know."""
        self.sandbox.load_users(self.night.strangers)
        self._meddle(LONG_AGO + 77)
        self._write_files()
        before, roles = self.sandbox.users(), frozenset(self.sandbox.roles())
        self.desired = desired = read_rows(self.world, self.night, roles)
        expected = expect(self.world, self.night, desired, before, self.service)
        self._check_plan(desired, expected, before)
        self.sandbox.clear_log()
        last = self._first_to_its_end()
        for _ in range(0 if self.is_fair else 3):
            # A resume may have found nothing to finish, and a canary leaves the rest.
            if last.code in {0, 5} and last.json.get("verdict", "canary") != "canary":
                break
            expected = self._judged_again(expected, desired, before)
            last = self._apply()
        after = self.sandbox.users()
        if self.night.policy["newer"] == "skip":
            # Of a write that failed the next run cannot know that it was ours: such a user is left.
            expected = replace(expected, excused_users=expected.excused_users | self._failed())
        self._check_users(expected, before, after)
        later = self._next(before, after, expected)
        self._check_rest(expect(self.world, self.night, desired, after, later), expected)
        assert set(creates_per_uid(self.sandbox).values()) <= {1}
        if self.is_fair:
            assert last.json["outcomes"]["held"] >= sum(expected.counts[kind] for kind in expected.held)
        self._cloud(after, after.keys() & self._failed())
        if self.night.undo and self.is_fair and self.night.way == "apply" and last.json["outcomes"]["applied"]:
            self._take_back(last.json["run_id"], before, after)
            # What it leaves is not what the next night would begin with.
            return replace(later, is_over=True)
        return later

    def _take_back(self, run: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Undo the run after others have been there: whom they touched is not switched, and theirs is not lost."""
        self._meddle(LONG_AGO + 1077)
        now = self.sandbox.users()
        result = self.shell("undo", run, "--yes", "--json")
        assert result.code in {0, 4, 5}, result.out
        for uid, user in self.sandbox.users().items():
            is_as_we_left = uid in after and _left(now[uid]) == _left(after[uid])
            was_switched = uid not in before or bool(before[uid].get("deactivatedAt")) is not bool(
                after[uid].get("deactivatedAt")
            )
            if not (is_as_we_left and was_switched):
                assert bool(user.get("deactivatedAt")) is bool(now[uid].get("deactivatedAt")), (
                    uid,
                    before.get(uid),
                )
            assert _foreign(user).items() >= _foreign(now[uid]).items(), (uid, before.get(uid), user)

    def _write_files(self) -> None:
        path = self.shell.write("users.csv", export(self.world, self.night))
        as_of = self.service.as_of - self.world.skew_s
        os.utime(path, (as_of, as_of))
        self.shell.write("reconcile.toml", settings(self.world, self.night))

    def _meddle(self, at: int) -> None:
        """Others switch users off, and delete some for good and make them anew, long before this night's export."""
        users = self.sandbox.users()
        banned = [{**users[uid], "deactivatedAt": at} for uid in self.night.banned & users.keys()]
        remade = [
            {"uid": uid, "name": "Made Anew", "role": users[uid]["role"], "createdAt": at}
            for uid in self.night.remade & users.keys()
        ]
        self.sandbox.load_users([*banned, *remade])

    def _next(self, before: dict[str, Any], after: dict[str, Any], expected: Expected) -> Service:
        off = {uid: _left(user) for uid, user in after.items() if user.get("deactivatedAt")}
        ours = {uid for uid in off if uid in before and not before[uid].get("deactivatedAt")}
        ours |= {uid for uid, left in off.items() if self.service.switched_off.get(uid) == left}
        wrote = {
            uid: user
            for uid, user in after.items()
            if user.get("updatedAt") != before.get(uid, {}).get("updatedAt")
        }
        wrote |= {uid: after[uid] for uid in after.keys() - before.keys()}
        left_at = {uid: max(user["createdAt"], user.get("updatedAt") or 0) for uid, user in wrote.items()}
        return replace(
            self.service,
            switched_off={uid: off[uid] for uid in ours},
            left_at={**self.service.left_at, **left_at},
            stuck=self.service.stuck | expected.stuck,
            held_once=self.service.held_once | (after.keys() - before.keys() - self._failed()) | self.taught,
            applied=self._applied(),
            is_private_shown=self.service.is_private_shown or is_heard(before, self.service),
        )

    def _applied(self) -> dict[str, frozenset[str]]:
        """The users by class to whom runs of ours did such a change."""
        sql = (
            "SELECT i.class, i.uid FROM intents i JOIN outcomes o ON o.run_id = i.run_id AND o.seq = i.seq"
            " WHERE o.outcome = 'applied'"
            # Of a directory that was empty when the run came.
            " AND NOT EXISTS (SELECT 1 FROM uncounted u WHERE u.run_id = i.run_id AND u.class = i.class)"
        )
        applied: dict[str, set[str]] = {}
        with closing(sqlite3.connect("runs/state.sqlite")) as state:
            for kind, uid in state.execute(sql):
                applied.setdefault(kind, set()).add(uid)
        return {kind: frozenset(uids) for kind, uids in applied.items()}

    def _failed(self) -> set[str]:
        with closing(sqlite3.connect("runs/state.sqlite")) as state:
            return {uid for (uid,) in state.execute("SELECT uid FROM outcomes WHERE outcome = 'failed'")}

    def _cloud(self, users: dict[str, Any], uids: set[str]) -> None:
        """Of a write that failed nobody can know that it was ours: let these users be touched by others, too."""
        later = int(time.time()) + self.world.skew_s + 1000  # noqa: TID251 - by the clock of the sandbox
        self.sandbox.load_users({**users[uid], "updatedAt": later} for uid in uids)

    # The runs

    def _first_to_its_end(self) -> Result:
        result = self._first()
        self.sandbox.clear_faults()
        self.sandbox.restore_key()
        for _ in range(3):
            if result.code != 8:
                break
            result = self._sound(self.shell("resume", "--json"))
        return result

    def _judged_again(self, expected: Expected, desired: Desired, before: dict[str, Any]) -> Expected:
        """What a run left over comes under guards whose bases have grown by what it did create."""
        users = self.sandbox.users()
        service = self._next(before, users, expected)
        # Nobody can know that a write that failed was ours: where who moved is left, that makes a class smaller, too.
        known = {uid: at for uid, at in service.left_at.items() if uid not in self._failed()}
        now = expect(self.world, self.night, desired, users, replace(service, left_at=known))
        released = expected.released | (expected.held - now.held)
        return expect(self.world, self.night, desired, before, self.service, released)

    def _first(self) -> Result:
        for fault in self.night.weather:
            self.sandbox.fault(**fault)
        match self.night.stop:
            case "revoke":
                self.sandbox.fault("revoke_key", method=WRITES, path="/users*", nth=4)
            case "deadline":
                self.sandbox.fault("latency", low_ms=5, high_ms=20)
                return self._apply("--set", "limits.deadline=0.4s")
            case "kill":
                return self._killed()
        match self.night.way:
            case "saved":
                plan = self._sound(self._call("plan"))
                return self._apply(run=plan.json["run_id"]) if plan.json["plan"]["create"] is not None else plan
            case "canary":
                canary = self._apply("--limit", "3")
                is_begun = (canary.json["outcomes"] or {}).get("not_attempted") and canary.code in {0, 4}
                return self._apply(run=canary.json["run_id"]) if is_begun else canary
            case _:
                return self._apply()

    def _call(self, *argv: str) -> Result:
        flags = ("--json", *(["--accept-source"] if self.night.accepts else []))
        return self.shell(*argv, *flags)

    def _apply(self, *flags: str, run: str | None = None) -> Result:
        named = () if run is None else (run,)
        return self._sound(self._call("apply", *named, "--yes", "--accept-mapping", *flags))

    def _killed(self) -> Result:
        self.sandbox.fault("latency", low_ms=2, high_ms=8)
        argv = [sys.executable, "-m", "reconcile", "apply", "--yes", "--accept-mapping"]
        argv += ["--accept-source"] if self.night.accepts else []
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(argv, stdout=quiet, stderr=quiet, env=dict(os.environ))
        # In an outage nothing more happens: then it is killed while it waits.
        ends = time.monotonic() + PATIENCE_S
        while process.poll() is None and self.sandbox.counters().writes < 5 and time.monotonic() < ends:
            time.sleep(0.005)  # noqa: TID251 - another process is at work
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.sandbox.clear_faults()
        return self._sound(self.shell("resume", "--json"))

    def _sound(self, result: Result) -> Result:
        """See that a report adds up, and that the exit code says what it says."""
        assert result.code != 1, (result.out, result.err)
        assert result.code in {0, 4, 5, 7, 8}, (result.out, result.err)
        if "outcomes" not in result.json:
            return result
        report = result.json
        told = report["outcomes"]
        if told is not None and self.desired and result.code in {0, 4, 5} and not self.night.accepts:
            self.taught |= frozenset(self.desired.users)
        self.ended.append(f"{report['command']} {result.code} {report['verdict']} {told}")
        assert report["broken_laws"] == []
        if told is None or result.code in {7, 8}:
            return result
        planned = sum(report["plan"][name] for name in ("create", "update", "reactivate", "deactivate"))
        assert sum(told.values()) == planned
        known = report["drift"]["known_differences"] or 0
        trouble = told["rejected"] + told["skipped"] + told["failed"] + (report["drift"]["unknown"] or 0) + known
        is_canary = report["verdict"] == "canary"
        assert not told["not_attempted"] or is_canary or result.code == 4, result.out
        assert result.code == (4 if trouble else 5 if told["held"] and not is_canary else 0), result.out
        return result

    # What is held against the oracle

    def _check_plan(self, desired: Desired, expected: Expected, before: dict[str, Any]) -> None:
        """The dry run has exactly the changes and the held classes that the rules say, and writes nothing."""
        plan = self._sound(self._call("plan"))
        report = plan.json
        held = {name for name, guard in report["guards"].items() if guard["verdict"] == "held"}

        assert self._planned() == set(expected.changes), self._differences(expected)
        assert held == expected.held
        assert report["source"]["quarantined"] == desired.quarantined
        assert report["drift"]["unmanaged"] is not None
        assert _exact(self.sandbox.users()) == _exact(before)

    def _planned(self) -> set[tuple[str, str]]:
        with self.shell.latest("changes.csv").open(encoding="utf-8", newline="") as file:
            return {(row["uid"].removeprefix("'"), row["class"]) for row in csv.DictReader(file)}

    def _differences(self, expected: Expected) -> str:
        planned = self._planned()
        return f"only planned: {planned - set(expected.changes)}; only expected: {set(expected.changes) - planned}"

    def _check_users(self, expected: Expected, before: dict[str, Any], after: dict[str, Any]) -> None:
        assert after.keys() >= before.keys(), "somebody was deleted"
        for uid in sorted(after.keys() | expected.users.keys()):
            if uid in expected.excused_users:
                continue
            lost = {name for user, name in expected.excused if user == uid}
            found, wanted = after.get(uid), expected.users.get(uid)
            if _exact(wanted) == _exact(before.get(uid)) and not lost:
                assert _exact(found) == _exact(wanted), uid
            else:
                assert _shown(found, lost) == _shown(wanted, lost), (uid, before.get(uid), expected, self.ended)

    def _check_rest(self, rest: Expected, expected: Expected) -> None:
        """A second plan is empty, but for what is held and what cannot be."""
        check = self._call("plan", "--check")
        planned = self._planned()

        known = check.json["drift"]["known_differences"]
        assert check.code in ({4} if known else {0, 3}), check.out
        assert (known or 0) <= len({uid for uid, _ in self.service.stuck | rest.stuck | expected.stuck})
        assert planned <= set(rest.changes), (planned, rest.changes)
        allowed = {uid for uid, _ in rest.excused | expected.excused} | expected.excused_users | rest.excused_users
        left = {(uid, kind) for uid, kind in planned if uid not in allowed}
        assert left == {(uid, kind) for uid, kind in rest.changes if uid not in allowed}
        # The others were done; a class that was held may be under its limit now.
        waiting = {uid for uid, kind in left if kind == "reactivate"}
        assert {kind for uid, kind in left if uid not in waiting} <= expected.held


def _left(user: dict[str, Any]) -> tuple[int, int]:
    """By what a record is told from another of the same uid, and one deactivation from another."""
    return user["createdAt"], user.get("deactivatedAt") or 0


def _foreign(user: dict[str, Any]) -> dict[str, str]:
    """The keys of the metadata that no world maps, as text."""
    metadata = user.get("metadata")
    whole = metadata if isinstance(metadata, dict) else {}
    return {key: json.dumps(whole[key]) for key in ("theme", "n", "nothing", "crm") if key in whole}


def _exact(user: dict[str, Any] | None) -> str:
    """A user as text: to Python true is 1."""
    return json.dumps(user, sort_keys=True)


def _shown(user: dict[str, Any] | None, lost: set[str]) -> Any:
    """A user in a form in which equal is equal: no times of writes, no order of tags, none of what is excused."""
    if user is None:
        return None
    shown = {name: value for name, value in user.items() if name not in {"updatedAt", "createdAt", "status"}}
    shown["tags"] = sorted(set(user.get("tags") or []))
    shown["deactivatedAt"] = bool(user.get("deactivatedAt"))
    metadata = user.get("metadata") or {}
    if isinstance(metadata, dict):
        gone = {name.split(".")[1] for name in lost if name.startswith("metadata.")}
        metadata = {key: value for key, value in metadata.items() if key not in gone}
    shown["metadata"] = metadata
    return json.dumps({name: value for name, value in shown.items() if name not in lost}, sort_keys=True)

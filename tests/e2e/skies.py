"""A small CometChat in memory, and the weather between it and the job; all its time is a clock that waiting moves."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from reconcile.applying import Applier, Hands, Mode, Numbers
from reconcile.cometchat.client import Client
from reconcile.cometchat.directory import Directory
from reconcile.core.guards import GuardClass
from reconcile.core.ours import Left
from reconcile.core.outcome import Settled
from reconcile.core.plan import Action, Change, Forecast, PlanHeader, PlanSource
from reconcile.settings import Secret
from reconcile.store.planfile import PlanFile, write_plan
from reconcile.store.state import State
from tests.cometchat.builders import KEY, Clock, a_gate, a_stop

Weather = Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response]
FIELDS = ("name", "role", "tags", "metadata.country")


def error(status: int, code: str) -> httpx.Response:
    """An error as CometChat words it."""
    return httpx.Response(status, json={"error": {"code": code, "message": "no"}})


class Service:
    """Users by uid, and what was done to them: `creates` by uid, and `idle` updates that changed nothing."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.creates: Counter[str] = Counter()
        self.idle: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Carry a request out."""
        uid = request.url.path.removeprefix("/v3/users").removeprefix("/")
        body = json.loads(request.content or b"{}")
        match request.method, bool(uid):
            case "GET", True:
                found = self._active(uid)
                return error(404, "ERR_UID_NOT_FOUND") if found is None else self._shown(found)
            case "POST", _:
                return self._create(body)
            case "PUT", True:
                return self._update(uid, body)
            case "PUT", False:
                return self._switch(body["uidsToActivate"], "reactivatedUids", "nonDeactivatedUids", off=False)
            case "DELETE", False:
                return self._switch(
                    body["uidsToDeactivate"], "deactivatedUids", "alreadyDeactivatedUids", off=True
                )
            case _:
                is_off = "onlyDeactivated" in request.url.params
                return httpx.Response(200, json={"data": self._listed(off=is_off)})

    def _listed(self, *, off: bool) -> list[dict[str, Any]]:
        return [user for user in self.users.values() if bool(user.get("deactivatedAt")) is off]

    def _active(self, uid: str) -> dict[str, Any] | None:
        user = self.users.get(uid)
        return None if user is None or user.get("deactivatedAt") else user

    def _shown(self, user: Mapping[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={"data": user})

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        if body["uid"] in self.users:
            return error(400, "ERR_UID_ALREADY_EXISTS")
        self.creates[body["uid"]] += 1
        self.users[body["uid"]] = {"tags": [], "metadata": {}, "createdAt": 1} | body
        return self._shown(self.users[body["uid"]])

    def _update(self, uid: str, body: dict[str, Any]) -> httpx.Response:
        user = self._active(uid)
        if user is None:
            return error(404, "ERR_UID_NOT_FOUND")
        if user | body == user:
            self.idle.append(uid)
        user.update(body)
        return self._shown(user)

    def _switch(self, uids: list[str], done: str, already: str, *, off: bool) -> httpx.Response:
        lists: dict[str, list[str]] = {}
        for uid in uids:
            moves = bool(self.users[uid].get("deactivatedAt")) is not off
            lists.setdefault(done if moves else already, []).append(uid)
            self.users[uid]["deactivatedAt"] = 2 if off else None
        return httpx.Response(200, json={"data": lists})


class Skies(httpx.BaseTransport):
    """Carries requests to the service through the weather."""

    def __init__(self, service: Service, weather: Weather) -> None:
        self._service, self._weather = service, weather

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        request.read()
        answer = self._weather(request, lambda: self._service.answer(request))
        answer.request = request
        return answer


def fair(_: httpx.Request, carry_out: Callable[[], httpx.Response]) -> httpx.Response:
    """No weather at all."""
    return carry_out()


@dataclass
class Island:
    """A service in memory, a plan for it, and a way to carry the plan out under some weather."""

    folder: Path
    service: Service = field(default_factory=Service)
    clock: Clock = field(default_factory=Clock)
    changes: list[Change] = field(default_factory=list)
    runs: int = 0

    def want(self, action: Action, uid: str) -> None:
        """Put a user there as the action needs it, and plan the change."""
        desired: dict[str, str | None] = {
            "name": f"New {uid}",
            "role": "default",
            "tags": '["a"]',
            "metadata.country": '"NZ"',
        }
        old = {"uid": uid, "name": "Old", "role": "default", "tags": ["a"], "createdAt": 1}
        if action is not Action.CREATE:
            self.service.users[uid] = old | {"metadata": {"country": "NZ", "theme": "dark"}}
        if action is Action.REACTIVATE:
            self.service.users[uid]["deactivatedAt"] = 1
        fields = {Action.CREATE: FIELDS, Action.UPDATE: ("name",)}.get(action, ())
        self.changes.append(
            Change(len(self.changes) + 1, uid, action, GuardClass(action.value), fields, {}, desired)
        )

    def is_done(self, change: Change) -> bool:
        """Whether the service holds what a change wants."""
        user = self.service.users.get(change.uid, {})
        if change.action in {Action.CREATE, Action.UPDATE}:
            return bool(user.get("name") == change.desired["name"])
        return bool(user.get("deactivatedAt")) is (change.action is Action.DEACTIVATE)

    @contextmanager
    def applier(self, weather: Weather, run_id: str, *, random: Random) -> Iterator[tuple[Applier, State]]:
        """Everything real but the network: client, gate, directory, journal and plan file."""
        stop = a_stop(self.clock)
        gate = a_gate(self.clock, stop=stop)
        client = Client(
            "https://app.example/v3",
            "orchard",
            Secret(KEY),
            gate,
            random=random,
            transport=lambda: Skies(self.service, weather),
        )
        state = State(self.folder / "state.sqlite", "orchard")
        path = self.folder / f"{run_id}.gz"
        write_plan(path, self._header(run_id), self.changes)
        hands = Hands(
            run_id, Directory(client, FIELDS, workers=1), state, gate, stop, random, lambda: 1, "2026-11-23"
        )
        mode = Mode(
            exact=False,
            keeps=frozenset({"role"}),
            ours={change.uid: Left(1, 1) for change in self.changes},
            wakes=True,
            settled=dict(state.outcomes(run_id)),
            open_intents=frozenset(state.open_intents(run_id)),
            unconfirmed=Numbers(state.unconfirmed_seqs(run_id)),
        )
        try:
            yield Applier(PlanFile(path), hands, mode, lambda _change, _settled: None), state
        finally:
            state.close()
            client.close()

    def carry_out(self, weather: Weather, run_id: str = "run", *, random: Random) -> dict[int, Settled]:
        """Carry the plan out, as a new run or to its end; gives every outcome so far."""
        with self.applier(weather, run_id, random=random) as (applier, state):
            applier.run()
            return dict(state.outcomes(run_id))

    def _header(self, run_id: str) -> PlanHeader:
        counts = Counter(change.action.value for change in self.changes)
        return PlanHeader(
            run_id=run_id,
            app_id="orchard",
            host="app.example",
            created_at="2026-11-23T02:15:00+00:00",
            fields=FIELDS,
            visible=FIELDS,
            settings={},
            declared={},
            source=PlanSource("users.csv", len(self.changes), None, None),
            counts={action.value: counts[action.value] for action in Action} | {"held": 0},
            guards=(),
            forecast=Forecast(0, 0, 0, 0),
        )


# The weather


def packed_and_cut(answer: httpx.Response, keep: float) -> httpx.Response:
    """The same, gzipped, and then cut."""
    packed = gzip.compress(answer.content, mtime=0)
    return httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(packed[: int(len(packed) * keep)])
    )

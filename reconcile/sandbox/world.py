"""
Everything that one sandbox knows, in one place.

Owns the state of the app and the lock that guards it. Nothing here answers requests; `api` does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import InitVar, dataclass, field, replace
from threading import RLock

from reconcile.sandbox.clock import Clock
from reconcile.sandbox.faults import Fault
from reconcile.sandbox.history import History
from reconcile.sandbox.journal import Journal
from reconcile.sandbox.keys import Keys
from reconcile.sandbox.limiter import Limits, RateLimiter
from reconcile.sandbox.roles import DEFAULT_ROLE, Role, RoleStore
from reconcile.sandbox.schedule import Schedule
from reconcile.sandbox.store import UserStore
from reconcile.sandbox.switches import Switches
from reconcile.sandbox.users import User, settled

__all__ = ["World"]


@dataclass(frozen=True, slots=True)
class _Start:
    """
    What a reset goes back to.
    """

    switches: Switches
    keys: Keys
    faults: tuple[Fault, ...]
    keeps_log: bool


@dataclass(slots=True)
class World:
    """
    One app: its users, roles, keys and budgets, how it answers, and what it was asked.
    """

    switches: Switches = field(default_factory=Switches)
    keys: Keys = field(default_factory=Keys)
    standing_faults: InitVar[tuple[Fault, ...]] = ()
    keeps_log: InitVar[bool] = True
    clock: Clock = field(default_factory=Clock)
    limiter: RateLimiter = field(default_factory=lambda: RateLimiter(Limits()))
    journal: Journal = field(default_factory=Journal)
    faults: Schedule = field(default_factory=Schedule)
    lock: RLock = field(default_factory=RLock)
    users: UserStore = field(init=False)
    roles: RoleStore = field(init=False)
    _start: _Start = field(init=False)

    def __post_init__(self, standing_faults: tuple[Fault, ...], keeps_log: bool) -> None:
        self._start = _Start(self.switches, replace(self.keys), standing_faults, keeps_log)
        self.users = UserStore(History(self.clock.now, self.faults.reach_s))
        self.roles = RoleStore(self.clock.now_s())
        self.reset()

    def turn(self, switches: Switches) -> None:
        """
        Answer in this way from now on.
        """
        self.switches = switches
        self.users.order_by(switches.list_order)

    def order_faults(self, faults: Iterable[Fault]) -> None:
        """
        Put faults in force, besides those that are.
        """
        for fault in faults:
            self.faults.add(fault)

    def load_users(self, users: Iterable[User]) -> int:
        """
        Take in users as they were read, with the roles that they hold, and return how many came.

        Raises: ValueError for a uid that the API could not have.
        """
        now_s = self.clock.now_s()
        held: set[str] = set()

        def settling() -> Iterator[User]:
            for user in users:
                kept = settled(user, now_s)
                held.add(kept.role)
                yield kept

        count = self.users.load(settling())
        # A real app cannot have a user of a role that it lacks.
        self.roles.load((Role(role) for role in sorted(held - self.roles.by_id.keys())), now_s)
        return count

    def load_roles(self, roles: Iterable[Role]) -> int:
        """
        Take in roles as they were read, and return how many came.
        """
        return self.roles.load(roles, self.clock.now_s())

    def drop_role(self, role: str) -> None:
        """
        Delete a role, but for the built-in one; whether its users fall back to that is a switch.
        """
        if role == DEFAULT_ROLE:
            return
        self.roles.by_id.pop(role, None)
        if self.switches.role_deleted == "default":
            for user in self.users.by_uid.values():
                if user.role == role:
                    with self.users.changing(user):
                        user.role = DEFAULT_ROLE

    def reset(self) -> None:
        """
        Go back to the start: no users, no log, whole budgets, the switches and faults that were there first.
        """
        self.clock.run()
        self.turn(self._start.switches)
        self.users.clear()
        self.roles.clear(self.clock.now_s())
        self.keys = replace(self._start.keys)
        self.limiter.limits = Limits()
        self.limiter.clear()
        self.journal.clear()
        self.journal.keeps_entries = self._start.keeps_log
        self.faults.clear()
        self.order_faults(self._start.faults)

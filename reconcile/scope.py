"""
The users that are ours, over runs: learnt from each apply that ended well, and asked before users are deactivated.

A run writes down the users of its export beside its plan. They become ours when that plan is applied, by this run, by
a resume of it or by `apply RUN`; a plan alone teaches nothing, and neither does an export that `--accept-source` let pass.
"""

from pathlib import Path

import structlog

from reconcile.core.cells import arrow
from reconcile.core.frame import Desired
from reconcile.core.hashes import Hashes, hashed
from reconcile.core.report import Report
from reconcile.core.scope import NOBODY, Scope, hashes_of, together, without
from reconcile.errors import ExitCode, StateError
from reconcile.ledger import Ledger
from reconcile.partitions.parted import Parted
from reconcile.run import Run
from reconcile.store.state import StateReader
from reconcile.store.users import USERS, read_users, write_users

__all__ = ["keep_users", "learn_users", "scope_of", "take_over_users"]

log = structlog.get_logger()

_TEACHES = frozenset({ExitCode.DONE, ExitCode.DRIFT, ExitCode.INCOMPLETE, ExitCode.HELD})
_EMPTY = (
    'no user is known to be ours yet, so policy.unmanaged = "deactivate" deactivates nobody: the first apply that ends '
    "well makes the users of its export known"
)


def scope_of(state: StateReader, run_dir: Path) -> tuple[Scope, list[str]]:
    """Give the users that are ours, and what a person has to know about them. Raises: StateError."""
    salt = state.known_salt()
    kept, problem = _kept(state, run_dir, salt)
    scope = Scope(together(kept, hashes_of(state.own_users(), salt)), salt)
    notes = [problem] if problem else []
    return scope, notes if len(scope) or problem else [_EMPTY]


def keep_users(run: Run, desired: Desired | Parted) -> None:
    """Write the users of an export down beside the plan that is made from it. Raises: StateError."""
    if run.options.accept_source or not desired.valid:
        return
    salt = run.state.salt()
    if isinstance(desired, Parted):
        hashes = desired.user_hashes()
    else:
        uids = arrow(desired.users["uid"])
        gone = run.state.forgotten(map(str, uids))
        hashes = without(together(hashed(uids, salt)), gone, salt)
    write_users(run.folder.file(USERS), hashes, salt)


def take_over_users(run: Run, plan: Path) -> None:
    """Take the users that stand beside a saved plan into the run that carries it out. Raises: StateError."""
    hashes = _readable(plan.with_name(USERS), run.state.salt())
    if hashes is not None:
        write_users(run.folder.file(USERS), hashes, run.state.salt())


def learn_users(run: Run, ledger: Ledger, report: Report) -> None:
    """Make the users of the export ours, where the run carried its plan out and ended well. Raises: StateError."""
    if not ledger.applying or report.exit_code not in _TEACHES or run.options.accept_source:
        return
    salt, own = run.state.salt(), run.folder.file(USERS)
    seen = _readable(own, salt)
    if seen is None:
        return
    kept, _ = _kept(run.state, run.settings.run_dir, salt)
    every = together(kept, seen)
    if len(every) > len(kept) or not run.state.remembered(USERS):
        write_users(run.settings.run_dir / USERS, every, salt)
        run.state.remember(USERS, str(len(every)), run.today())
    own.unlink(missing_ok=True)


def _kept(state: StateReader, run_dir: Path, salt: str) -> tuple[Hashes, str]:
    """Read the users that earlier runs made ours, and say what is wrong with their file; nobody where it is not whole."""
    path = run_dir / USERS
    try:
        found = read_users(path, salt)
    except StateError as error:
        return NOBODY, _without_file(error.message)
    if found is None and state.remembered(USERS):
        return NOBODY, _without_file(f"{path} is missing")
    return NOBODY if found is None else found, ""


def _without_file(what: str) -> str:
    return (
        f'{what}, so nobody counts as ours because of it, and policy.unmanaged = "deactivate" leaves these users alone; '
        "put back a copy of the file, or let the next apply begin a new one: it then knows the users of its export"
    )


def _readable(path: Path, salt: str) -> Hashes | None:
    """Read the users beside a plan; None where there are none, or nobody can say which."""
    try:
        return read_users(path, salt)
    except StateError as error:
        log.warning("users.not_learnt", message=error.message)
        return None

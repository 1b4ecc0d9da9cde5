"""
Read back since when the users are deactivated that a run switched off.

The answer to a deactivation does not say the date, and a deactivation is ours only as long as the user has this date.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

import pyarrow.compute as pc
import structlog

from reconcile.cometchat.directory import Directory, Unknown
from reconcile.core.forecast import list_cost
from reconcile.core.ours import was_near
from reconcile.errors import ChangeRejected, DirectoryBusy, DirectoryStopped
from reconcile.store.state import State

__all__ = ["keep_dates"]

log = structlog.get_logger()

Dates = tuple[int | None, int]  # when a user was created, where that is known, and when it was deactivated

_LOOKS_MORE = 2  # where a list lags behind the writes: 1.5 s


def keep_dates(
    directory: Directory,
    state: State,
    run_id: str,
    *,
    known_off: int | None = None,
    certain: Collection[int] = (),
    wait: Callable[[int], None] | None = None,
) -> None:
    """
    Keep the dates of the deactivations of a run that have none so far; no request where there are none.

    `certain` are the numbers of the changes that this process made. What an earlier process did, or found to be so, is
    kept only where its date is near the time of the intent: somebody else may have deactivated the user since.
    `known_off` is how many users are deactivated, where that is known. `wait` is called before a list is read again.
    What cannot be read ends nothing: all changes are made. Raises: Interrupted, StateError.
    """
    state.flush()
    due = {uid: (seq, at) for seq, uid, at in state.undated(run_id)}
    for attempt in range(1 + _LOOKS_MORE):
        for uid, (made, off) in _dates(directory, sorted(due), known_off):
            seq, at = due.pop(uid)
            if seq in certain or was_near(off, at):
                state.keep_left(run_id, seq, uid, made, off)
        if not due or wait is None or attempt == _LOOKS_MORE:
            break
        wait(attempt + 1)
    if due:
        log.warning("deactivations.undated", users=len(due))
    state.flush()


def _dates(directory: Directory, uids: list[str], known_off: int | None) -> Iterator[tuple[str, Dates]]:
    """Find the dates of these users in the way that costs fewer requests: a look at each, or the list of the deactivated."""
    pages = list_cost(max(known_off or 0, len(uids)))
    try:
        yield from _by_looks(directory, uids) if len(uids) <= pages else _by_list(directory, frozenset(uids))
    except (ChangeRejected, DirectoryBusy, DirectoryStopped) as error:
        log.warning("deactivations.not_read_back", message=error.message)


def _by_looks(directory: Directory, uids: Iterable[str]) -> Iterator[tuple[str, Dates]]:
    for uid, found in directory.find_each(uids, settling=True):
        if found is not None and not isinstance(found, Unknown) and found.user.deactivated_at:
            yield uid, (found.user.created_at, found.user.deactivated_at)


def _by_list(directory: Directory, uids: frozenset[str]) -> Iterator[tuple[str, Dates]]:
    directory.find_first_page()
    waiting = set(uids)
    for page in directory.pages(deactivated=True):
        if not waiting or not pc.any(page["deactivated"]).as_py():
            return  # Nobody else is looked for, or the list does not show the deactivated alone.
        columns = (page[name].to_pylist() for name in ("uid", "created_at", "deactivated_at"))
        for uid, made, off in zip(*columns, strict=True):
            if off and uid in waiting:
                waiting.discard(uid)
                yield uid, (made, off)

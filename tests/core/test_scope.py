"""Promises about the scope: of the users outside the source only those that are ours may be deactivated."""

import numpy as np
import pytest

from reconcile.core.changes import list_changes
from reconcile.core.found import Decided, conclude
from reconcile.core.guards import GuardClass
from reconcile.core.left import scope_notes
from reconcile.core.plan import PlanPolicy
from reconcile.core.scope import NOBODY, Scope, hashes_of, narrowed, together, without
from tests.builders import a_comparison, a_row, a_user, feed

OFF = PlanPolicy(deactivate_unmanaged=True)
SALT = "salt"


def a_scope(*uids: str) -> Scope:
    """The scope of these users."""
    return Scope(hashes_of(uids, SALT), SALT)


def test_a_scope_knows_its_users_and_no_others() -> None:
    """Also one of nobody, asked about nobody."""
    assert a_scope("fig", "kiwi", "kiwi").has(["kiwi", "plum", "fig"]).tolist() == [True, False, True]
    assert len(a_scope("fig", "kiwi", "kiwi")) == 2
    assert a_scope().has(["kiwi"]).tolist() == [False]
    assert a_scope("kiwi").has([]).tolist() == []


def test_another_secret_makes_other_hashes() -> None:
    """Who has the file alone cannot try uids against it."""
    assert not Scope(hashes_of(["kiwi"], "other"), SALT).has(["kiwi"]).any()


def test_many_users_are_told_apart() -> None:
    """More than are hashed at a time; the order of what is asked stays."""
    known = [f"user-{n}" for n in range(0, 150_000, 2)]
    asked = [f"user-{n}" for n in range(150_000)]

    assert list(a_scope(*known).within(iter(asked))) == known


def test_hashes_come_together_and_apart() -> None:
    """Each user counts once, and one that is taken out is gone."""
    every = together(hashes_of(["fig", "kiwi"], SALT), hashes_of(["kiwi", "plum"], SALT))

    assert len(every) == 3
    assert (np.diff(every) > 0).all()
    assert np.array_equal(without(every, ["kiwi"], SALT), hashes_of(["plum", "fig"], SALT))
    assert np.array_equal(without(every, ["nobody"], SALT), every)
    assert len(together()) == len(NOBODY) == 0


@pytest.mark.parametrize(
    ("scope", "deactivated", "left"),
    [(("fig", "plum"), ["fig", "plum"], 0), (("plum", "kiwi"), ["plum"], 1), ((), [], 2), (("new",), [], 2)],
)
def test_only_users_in_scope_are_deactivated_and_the_others_counted(
    scope: tuple[str, ...], deactivated: list[str], left: int
) -> None:
    """Those newer than the export count as newer, whether they are ours or not."""
    users = [a_user(uid=uid) for uid in ("fig", "kiwi", "plum")]
    users.append(a_user(uid="new", created_at=1_800_000_000))
    findings = feed(a_comparison(a_row(), as_of=1_750_000_000), *users).close(whole=True)
    findings, found = conclude(findings, Decided(OFF))

    found = narrowed(found, findings, a_scope(*scope))

    changes = [change.uid for change in list_changes(findings, OFF, {}, a_scope(*scope))]
    assert changes == deactivated
    assert found.classes[GuardClass.DEACTIVATE] == len(deactivated)
    assert (found.out_of_scope, found.counts.unmanaged) == (left, 3)
    assert len(list(scope_notes(found))) == (left > 0)

"""Promises about users that a role protects: an AI agent is no person, and nothing is written to it."""

import pytest

from reconcile.core.actual import read_rows
from reconcile.core.changes import class_counts
from reconcile.core.diff import Comparison
from reconcile.core.findings import Findings
from reconcile.core.frame import with_roles
from reconcile.core.guards import GuardClass
from reconcile.core.left import protection_notes
from reconcile.core.mapping import Mapping
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action, PlanPolicy
from reconcile.core.upsert import Create, Update, decide
from reconcile.core.users import Situation
from tests.builders import (
    a_change,
    a_desired,
    a_mapping,
    a_record,
    a_row,
    a_user,
    feed,
    summed,
    the_changes,
    the_terms,
)

OFF = 1_700_000_500
AGENT = ("@agentic",)
NAMES = a_mapping("name")
WITH_ROLES = a_mapping("name", "role")
EVERYTHING = PlanPolicy(deactivate_unmanaged=True, reactivate=True, reactivate_foreign=True)


def compared(*users: str, roles: tuple[str, ...] = AGENT, mapping: Mapping = NAMES) -> Findings:
    """`kiwi` is in the source, `fig` is not; each is told as `uid`, `uid off`, `uid agent` or `uid agent off`."""
    comparison = Comparison(a_desired(a_row(name="New"), mapping=mapping), protect_roles=roles)
    shown = [
        a_user(
            uid=words.split()[0],
            role="@Agentic" if "agent" in words else "default",
            deactivated_at=OFF if words.endswith("off") else None,
        )
        for words in users
    ]
    return feed(comparison, *shown).close(whole=True)


@pytest.mark.parametrize("mapping", [NAMES, WITH_ROLES])
@pytest.mark.parametrize("user", ["kiwi agent", "kiwi agent off"])
def test_an_agent_of_the_source_is_protected_whether_roles_are_managed_or_not(user: str, mapping: Mapping) -> None:
    """Its name differs, and it is neither drifted nor deactivated."""
    found = compared(user, mapping=mapping)

    assert found.counts.situations[Situation.PROTECTED] == 1
    assert sum(found.counts.situations.values()) == 1
    assert the_changes(found, EVERYTHING) == []
    assert sum(class_counts(found, EVERYTHING, {}).values()) == 0


def test_an_agent_outside_the_source_is_left_alone() -> None:
    """It is no unmanaged user, and the sums hold."""
    found = compared("kiwi", "fig agent")

    assert (found.counts.unmanaged, found.counts.shielded, found.counts.seen) == (0, 1, 2)
    assert [change.action for change in the_changes(found, EVERYTHING)] == [Action.UPDATE]


def test_one_row_with_the_role_is_enough() -> None:
    """A page that moved shows a user twice, before and after somebody gave it the role."""
    for users in (("kiwi", "kiwi agent"), ("kiwi agent", "kiwi")):
        assert compared(*users).counts.situations[Situation.PROTECTED] == 1


@pytest.mark.parametrize(("roles", "unmanaged"), [((), 1), (("agentic",), 1), (("@agent*",), 1), (AGENT, 0)])
def test_a_role_protects_where_it_is_named_as_it_is(roles: tuple[str, ...], unmanaged: int) -> None:
    """No pattern and no part of it; no roles switch it off."""
    assert compared("kiwi", "fig agent", roles=roles).counts.unmanaged == unmanaged


def test_the_notes_say_which_users_a_role_protects() -> None:
    """As for patterns of uids: nobody has to guess why a user is not written."""
    notes = list(protection_notes(summed(compared("kiwi agent", "fig agent off", roles=("@agentic", "bot")))))

    assert notes == [
        'protected by "@agentic" (policy.protect_roles): 2 users: fig, kiwi',
        'policy.protect_roles: "bot" matches nobody; is it misspelt?',
    ]


def test_a_row_that_asks_for_a_protected_role_is_quarantined() -> None:
    """Whether the app has this role or not; the other rows are not touched."""
    rows = [a_row("kiwi", role="@agentic"), a_row("fig", role="staff"), a_row("plum", role="vip"), a_row("pear")]
    checked = with_roles(a_desired(*rows, mapping=WITH_ROLES), {"staff", "vip"}, {"@agentic", "staff"})

    assert [(row.uid, row.kind.value) for row in checked.quarantined] == [
        ("kiwi", "protected_role"),
        ("fig", "protected_role"),
    ]
    assert "policy.protect_roles" in checked.quarantined[0].detail
    assert list(checked.users["uid"]) == ["plum", "pear"]


AGENT_RECORD = a_record(role="@agentic", name="Kiwi")
TERMS = the_terms(protected_roles=frozenset(AGENT))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (Action.CREATE, GuardClass.CREATE),
        (Action.UPDATE, GuardClass.UPDATE),
        (Action.UPDATE, GuardClass.ROLE_CHANGE),
    ],
)
def test_the_last_look_protects_too(action: Action, kind: GuardClass, exact: bool, sent: bool) -> None:  # noqa: FBT001
    """Somebody made it an agent after the plan: the change is skipped and says why."""
    change = a_change(action=action, guard_class=kind, fields=("name", "role"))
    terms = the_terms(protected_roles=frozenset(AGENT), exact=exact, sent=sent, planned=frozenset({kind}))

    ended = decide(change, AGENT_RECORD, terms)

    assert isinstance(ended, Settled)
    assert ended.outcome is Outcome.SKIPPED
    assert "policy.protect_roles" in ended.detail


def test_an_agent_that_holds_what_is_wanted_is_no_trouble() -> None:
    """Nothing would be written."""
    change = a_change(desired={"name": "Kiwi", "role": "@agentic"})

    assert decide(change, AGENT_RECORD, TERMS).outcome is Outcome.ALREADY  # type: ignore[union-attr]


def test_other_users_are_written_as_before() -> None:
    """The counterpart: without the role, and where nobody is there yet."""
    create = a_change(action=Action.CREATE, guard_class=GuardClass.CREATE)

    assert isinstance(decide(a_change(), a_record(), TERMS), Update)
    assert isinstance(decide(create, None, TERMS), Create)


@pytest.mark.parametrize("role", [b'"@Agentic"', b"7", b"null", b'{"a":1}', b'["x"]', b'""', b"true"])
def test_a_role_of_any_form_leaves_the_page_readable_where_it_is_not_managed(role: bytes) -> None:
    """Only a text is a role."""
    page = read_rows(b'{"data":[{"uid":"a","name":"A","role":%b},{"uid":"b"}]}' % role, ("name",))

    assert page["role"].to_pylist() == [{b'"@Agentic"': "@agentic"}.get(role), None]

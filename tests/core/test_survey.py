"""Promises about what a page shows of a plan: counted as it goes by, and never held."""

import tracemalloc
from collections import Counter, deque
from collections.abc import Iterator

import msgspec

from reconcile.core.guards import GuardClass
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action, Change
from reconcile.core.survey import Move, Survey, SurveyedChange

DONE = Settled(Outcome.APPLIED)


def an_update(seq: int = 1, **fields: tuple[str | None, str | None]) -> Change:
    """An update of these fields: from what to what."""
    before, after = ({name: pair[side] for name, pair in fields.items()} for side in (0, 1))
    return Change(seq, f"u{seq}", Action.UPDATE, GuardClass.UPDATE, tuple(fields), before, after)


def watched(survey: Survey, *changes: SurveyedChange) -> Survey:
    """The survey, once these have gone by."""
    assert list(survey.watch(changes)) == list(changes)
    return survey


def test_drift_is_counted_by_field_and_by_what_becomes_of_it() -> None:
    """Of the users that are there already."""
    survey = watched(
        Survey(),
        (an_update(1, name=("Bo", "Bob"), avatar=(None, "a.png")), DONE),
        (an_update(2, name=("Al", "Alf"), avatar=("a.png", None)), DONE),
        (Change(3, "new", Action.CREATE, GuardClass.CREATE, ("name",), {}, {"name": "New"}), DONE),
    )

    assert survey.total == 3
    assert survey.fields == {
        "name": Counter({Move.CHANGED: 2}),
        "avatar": Counter({Move.FILLED: 1, Move.CLEARED: 1}),
    }


def test_roles_are_counted_from_what_to_what() -> None:
    """Those of new users apart; and a source with roles without end fills no page."""
    created = Change(9, "new", Action.CREATE, GuardClass.CREATE, ("role",), {}, {"role": "pro"})
    survey = watched(
        Survey(),
        (an_update(1, role=("free", "pro")), None),
        (an_update(2, role=("free", "pro")), None),
        (an_update(3, role=(None, "free")), None),
        (created, None),
        *((an_update(seq, role=("free", f"role{seq}")), None) for seq in range(10, 310)),
    )

    assert survey.roles["free", "pro"] == 2
    assert survey.roles[None, "free"] == 1
    assert survey.created == Counter({"pro": 1})
    assert len(survey.roles) == 200
    assert survey.other_roles == 102
    assert survey.roles.total() + survey.other_roles == 303


def test_what_needs_a_person_is_in_the_sample_and_stands_first() -> None:
    """However far behind it was in the plan."""
    kinds = (Outcome.REJECTED, Outcome.FAILED, Outcome.SKIPPED, Outcome.HELD)
    calm = [(an_update(seq, name=("a", "b")), DONE) for seq in range(1, 8)]
    late = [(an_update(7 + at, name=("a", "b")), Settled(kind)) for at, kind in enumerate(kinds, start=1)]
    survey = watched(Survey(6), *calm, *late)

    assert survey.sample == (*late, *calm[:2])
    assert survey.urgent == 4
    assert watched(Survey(3), *calm, *late).sample == tuple(late[:3])


def test_of_a_plan_that_was_not_applied_the_first_are_shown() -> None:
    """In plan order."""
    changes = [(an_update(seq, name=("a", "b")), None) for seq in range(1, 9)]

    assert watched(Survey(5), *changes).sample == tuple(changes[:5])


def test_of_a_plan_that_a_guard_holds_in_part_that_part_stands_first() -> None:
    """It is what a person has to look at; and it is said to be held before anything was applied."""
    changes = [(an_update(seq, name=("a", "b")), None) for seq in range(1, 4)]
    held = (msgspec.structs.replace(changes[2][0], guard_class=GuardClass.ROLE_CHANGE), None)
    survey = watched(Survey(held=frozenset({"role_change"})), *changes[:2], held)

    assert survey.sample == (held, *changes[:2])
    assert [survey.outcome(*each) for each in survey.sample] == ["held", "", ""]
    assert survey.outcome(changes[0][0], DONE) == "applied"


def test_a_plan_is_never_held() -> None:
    """Ten times the changes take no more memory than the sample does."""

    def fresh(number: int) -> Iterator[SurveyedChange]:
        for seq in range(number):
            outcome = Outcome.REJECTED if seq % 2 else Outcome.APPLIED
            yield an_update(seq, name=("x" * 200, "y" * 200)), Settled(outcome)

    def peak(number: int) -> int:
        tracemalloc.start()
        for _ in Survey(500).watch(fresh(number)):
            pass
        _, found = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    assert peak(20_000) < 1.2 * peak(2_000)


def test_a_million_changes_are_counted() -> None:
    """And ten thousand of them are the sample."""
    change = an_update(1, role=("free", "pro"))
    survey = Survey()
    deque(survey.watch((change, None) for _ in range(1_000_000)), maxlen=0)

    assert survey.total == survey.roles["free", "pro"] == 1_000_000
    assert len(survey.sample) == 10_000

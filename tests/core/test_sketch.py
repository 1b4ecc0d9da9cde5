"""Promises about the sketch of an export: what it tells of the next one, and what it does not tell of anybody."""

from math import sqrt

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.baseline import Sketch
from reconcile.core.sketch import SAMPLE, Changed, changed_since, fingerprint, sample_of, sketch_of, without
from tests.scale import how_many

SECRET = "0123456789abcdef0123456789abcdef"
MANY = how_many(30_000, soak=1_000_000)

Users = dict[str, str | None]


def a_sketch(users: Users, *forgotten: str, mapping: str = "m", secret: str = SECRET) -> Sketch:
    """The sketch of users with one value each."""
    table = pa.table({"uid": pa.array(users, pa.string()), "name": pa.array(users.values(), pa.string())})
    sample = sample_of(table, secret)
    return sketch_of(sample, len(table), mapping, secret=secret, forgotten=lambda uids: {*uids} & {*forgotten})


uids = st.text("abz09_-", min_size=1, max_size=100)
some_users = st.dictionaries(uids, st.sampled_from(["", "a", None]), max_size=40)


@settings(deadline=None)
@given(some_users, some_users)
def test_a_small_export_is_compared_exactly(before: Users, after: Users) -> None:
    """User by user: a value that is missing is another one than an empty one."""
    both = before.keys() & after.keys()
    exact = Changed(sum(before[uid] != after[uid] for uid in both), len(before) - len(both))

    assert changed_since(a_sketch(before), a_sketch(after)) == (exact if before else None)


@settings(deadline=None)
@given(some_users, st.data())
def test_a_user_that_is_taken_out_was_never_in_it(users: Users, data: st.DataObject) -> None:
    """Whoever else is in the sketch, and in whatever order they came."""
    uid = data.draw(st.sampled_from([*users, "nobody"]))
    order = data.draw(st.permutations([name for name in users if name != uid]))
    others = a_sketch({name: users[name] for name in order})

    assert without(a_sketch(users), uid, SECRET) == others
    assert a_sketch(users, uid) == others


def _many(first: int, last: int, changed: int = 0) -> Users:
    return {f"user-{n}": "new" if n < changed else "old" for n in range(first, last)}


@pytest.mark.parametrize(
    ("changed", "gone", "grown"),
    [
        (0, 0, 0),
        (MANY // 100, 0, 0),
        (MANY // 2, 0, 0),
        (MANY, 0, 0),
        (MANY // 5, MANY // 2, 0),
        (MANY // 5, 0, 2 * MANY),
    ],
    ids=["none", "few", "half", "all", "shrunk", "grown"],
)
def test_a_large_export_is_estimated_within_its_error(changed: int, gone: int, grown: int) -> None:
    """Five times the standard error that the docs name; and none and all are told exactly."""
    found = changed_since(a_sketch(_many(0, MANY)), a_sketch(_many(0, MANY - gone + grown, changed)))

    assert found is not None
    for estimate, true in ((found.other, changed), (found.gone, gone)):
        share = true / MANY
        met = SAMPLE * MANY / max(MANY, MANY - gone + grown)
        assert abs(estimate / MANY - share) <= 5 * sqrt(share * (1 - share) / met)


def test_a_sketch_has_one_size_at_most_and_no_uid_in_it() -> None:
    """A million users take no more room than ten thousand."""
    sketch = a_sketch(_many(0, MANY))

    assert (sketch.users, len(sketch.uids), len(sketch.rows)) == (MANY, 8 * SAMPLE, 8 * SAMPLE)
    assert b"user" not in sketch.uids + sketch.rows


def test_without_the_secret_nobody_can_be_tried_against_a_sketch() -> None:
    """Two secrets make nothing alike of the same users."""
    users = _many(0, 1000)
    found = changed_since(a_sketch(users), a_sketch(users, secret=SECRET[::-1]))

    assert found == Changed(0, 1000)


def test_another_mapping_or_version_is_not_compared() -> None:
    """It makes other values of the same cells."""
    words = {"name": "column 'name'", "uid": "column 'id'"}
    made = {fingerprint(words, "1"), fingerprint(words, "2"), fingerprint({**words, "name": "column 'n'"}, "1")}

    assert changed_since(a_sketch({"a": "A"}, mapping="m"), a_sketch({"a": "A"}, mapping="n")) is None
    assert len(made) == 3
    assert fingerprint(dict(reversed(words.items())), "1") in made

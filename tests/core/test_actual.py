"""Promises about the rows of the user list: what becomes of a page."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconcile.core import actual
from reconcile.core.actual import (
    actual_table,
    folded,
    managed_groups,
    no_rows,
    read_rows,
    records_of,
    shown_column,
)
from reconcile.core.users import DirectoryUser, as_record, shown_of
from tests.builders import a_user

FIELDS = (
    "name",
    "avatar",
    "statusMessage",
    "role",
    "tags",
    "metadata.a",
    "metadata.b",
    "metadata.b.c",
    "metadata.d.c",
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2)
)
objects = st.dictionaries(
    st.sampled_from("abcde"), values | st.dictionaries(st.sampled_from("abc"), values), max_size=4
)
shapes = objects | objects.map(lambda whole: msgspec.json.encode(whole).decode()) | values
rows = st.fixed_dictionaries(
    {"uid": st.text("aBc-_09", min_size=1, max_size=3)},
    optional={
        **{name: st.none() | texts for name in ("name", "avatar", "statusMessage", "role")},
        "tags": st.none() | st.lists(texts, max_size=3),
        "metadata": shapes,
        **{name: st.none() | st.integers(0, 2**40) for name in ("createdAt", "updatedAt", "deactivatedAt")},
    },
)


@pytest.fixture(autouse=True)
def _made_anew() -> None:
    """What reads a page is kept for the next one; here each test has its own, and so sees how it is made."""
    actual._reader.cache_clear()
    no_rows.cache_clear()


@given(st.lists(rows, max_size=5))
@example([{"uid": "a", "metadata": {"a": " x", "b": {"c": "\N{OWL}\\"}}}, {"uid": "a", "metadata": []}])
def test_a_page_of_the_list_and_a_look_at_each_user_agree(page: list[dict[str, object]]) -> None:
    """Both sides of the comparison use one normal form, whatever a row looks like."""
    body = msgspec.json.encode({"data": page})
    users = msgspec.json.decode(msgspec.json.encode(page), type=list[DirectoryUser])
    records = [as_record(user, FIELDS) for user in users]

    found = read_rows(body, FIELDS)

    assert found.equals(actual_table(users, FIELDS))
    assert [{field: row[field] for field in FIELDS} for row in found.to_pylist()] == [
        record.values for record in records
    ]
    for name in ("uid", "created_at", "updated_at"):
        assert found[name].to_pylist() == [getattr(record, name) for record in records]
    assert found["deactivated"].to_pylist() == [not record.active for record in records]
    for group in ("tags", "metadata"):
        assert found[shown_column(group)].to_pylist() == [group in shown_of(user) for user in users]
    assert list(records_of(found, FIELDS)) == [
        msgspec.structs.replace(record, metadata={}, odd=None) for record in records
    ]


def test_only_what_is_managed_is_read() -> None:
    """What nobody compares may look like anything, and is not made into anything."""
    body = b'{"data":[{"uid":"Kiwi","name":5,"tags":{},"metadata":{"a":[[[1]]]},"role":"VIP"}]}'

    (row,) = read_rows(body, ("role",)).to_pylist()

    times = dict.fromkeys(("created_at", "updated_at", "deactivated_at"))
    assert row == {"uid": "kiwi", "role": "vip", **times, "deactivated": False}


def test_a_time_that_came_as_text_is_a_time() -> None:
    """A number between quotation marks is one all the same."""
    body = b'{"data":[{"uid":"kiwi","createdAt":"5","updatedAt":"7","deactivatedAt":"9"}]}'

    (row,) = read_rows(body, ("name",)).to_pylist()

    assert (row["created_at"], row["updated_at"], row["deactivated"]) == (5, 7, True)


@pytest.mark.parametrize("value", ['"x"', "5", "0", "true", "[]", "null"])
def test_inside_of_what_is_no_object_there_is_nothing(value: str) -> None:
    """The key has its value, and a field that lies deeper has none."""
    body = f'{{"data":[{{"uid":"kiwi","metadata":{{"b":{value}}}}}]}}'.encode()

    (row,) = read_rows(body, ("metadata.b", "metadata.b.c", "metadata.b.c.d")).to_pylist()

    assert row["metadata.b"] == (None if value == "null" else value)
    assert (row["metadata.b.c"], row["metadata.b.c.d"]) == (None, None)


@pytest.mark.parametrize(
    "row", ['{"name":"Kiwi"}', '{"uid":1}', '{"uid":"kiwi","tags":[1]}', '{"uid":"kiwi","tags":"a"}']
)
def test_a_row_of_another_shape_is_refused(row: str) -> None:
    """A value that is no text is not taken for one."""
    with pytest.raises(msgspec.ValidationError):
        read_rows(f'{{"data":[{row}]}}'.encode(), ("name", "tags"))


def test_a_page_that_shows_nobody_has_the_same_columns() -> None:
    """So it can stand among others."""
    assert no_rows(FIELDS).schema == actual_table([a_user()], FIELDS).schema
    assert no_rows(FIELDS).num_rows == 0


@pytest.mark.parametrize(
    ("fields", "groups"),
    [
        (("name", "role"), set()),
        (("name", "tags"), {"tags"}),
        (("metadata.a", "metadata.b.c"), {"metadata"}),
        (("tags", "metadata.a.b.c"), {"tags", "metadata"}),
    ],
)
def test_a_group_is_managed_where_one_of_its_fields_is(fields: tuple[str, ...], groups: set[str]) -> None:
    """However deep in the metadata the field stands."""
    assert managed_groups(fields) == groups


def test_a_record_shows_the_groups_that_are_managed_and_that_came() -> None:
    """A group that nobody manages is not asked for."""
    page = actual_table(
        [a_user(tags=["a"], metadata={"a": 1}), a_user(uid="Fig", deactivated_at=5)], ("tags", "name")
    )
    kiwi, fig = records_of(page, ("tags", "name"))

    assert (kiwi.uid, kiwi.active, set(kiwi.shown)) == ("kiwi", True, {"tags"})
    assert (fig.uid, fig.active, set(fig.shown)) == ("fig", False, set())
    assert kiwi.values == {"tags": '["a"]', "name": "Kiwi"}
    assert folded(["KIWI", "fig"]).to_pylist() == ["kiwi", "fig"]

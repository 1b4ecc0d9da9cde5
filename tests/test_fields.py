"""Promises about the mapping as people declare it: what may be written, and what is said of mistakes."""

import tomllib

import pytest

from reconcile.core.mapping import Template, Transform
from reconcile.fields import Problems, read_fields
from reconcile.settings import Column, Fields, Settings, mapping_for


def declared(toml: str, *maps: str) -> tuple[Fields, Problems]:
    """The mapping that a [fields] table and flags come to, and what is wrong with them."""
    problems: Problems = []
    return read_fields(tomllib.loads(toml).get("fields"), maps, problems), problems


def test_inner_objects_and_keys_with_dots_are_told_apart_as_in_toml() -> None:
    """Bare dots lead into an object; a key in quotes is one key."""
    fields, problems = declared("""
        [fields.metadata]
        address.city = "city"
        "address.zip" = "zip"
        geo = { point = { lat = { column = "lat", type = "number" } }, country = "c" }
        """)

    assert problems == []
    assert set(fields.columns) == {
        "metadata.address.city",
        'metadata."address.zip"',
        "metadata.geo.point.lat",
        "metadata.geo.country",
    }


def test_a_flag_maps_an_inner_value_too() -> None:
    """It is written as the field is shown."""
    fields, problems = declared("", "metadata.address.city=city", 'metadata."a.b"=x')

    assert problems == []
    assert set(fields.columns) == {"metadata.address.city", 'metadata."a.b"'}


def test_a_rule_has_its_template_and_its_transforms() -> None:
    """What was declared is what the mapping does."""
    fields, problems = declared("""
        [fields]
        uid = { column = "email", transform = ["lower", "hash-suffix"] }
        name = { template = "{first} {last}" }
        metadata.vip = { constant = true, type = "boolean" }
        """)
    mapping = mapping_for(Settings(fields=fields), ("email", "first", "last"))

    assert problems == []
    assert mapping.uid.transforms == (Transform.LOWER, Transform.HASH_SUFFIX)
    assert mapping.columns == ("email", "first", "last")
    assert mapping.rules[1].template == Template(("true",))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("name = {}", "give one of column, template and constant"),
        ('name = { column = "a", template = "{b}" }', "give one of column, template and constant"),
        ('name = { template = "{first" }', "a brace in '{first'"),
        ('name = { column = "a", transform = ["upper"] }', "fields.name"),
        ('name = { column = "a", typ = "text" }', "fields.name"),
        ('name = { column = "a", type = "number" }', "fields.name has a type"),
        ("name = 3", "fields.name"),
        ('uid = { constant = "x" }', "the same for every user"),
        ('nam = "a"', "unknown setting fields.nam"),
        ('metadata.address = "a"\nmetadata."address.city" = "b"\nmetadata.x = 1', "fields.metadata.x"),
        ('metadata."" = "a"', "no path of metadata keys"),
        ('metadata."@private".email = "a"', "is not managed"),
    ],
)
def test_a_mistake_is_named_when_the_settings_are_loaded(toml: str, words: str) -> None:
    """With its remedy, and before anything is read."""
    _, problems = declared(f"[fields]\n{toml}")

    assert len(problems) == 1
    assert words in problems[0][0]
    assert problems[0][1]


def test_an_object_and_a_value_in_it_cannot_both_be_managed() -> None:
    """Each would write over the other, every night."""
    _, problems = declared("", "metadata.address=a", "metadata.address.city=b", "metadata.addressee=c")

    assert [what for what, _ in problems] == ["metadata.address.city lies within metadata.address"]


def test_a_constant_is_written_as_its_text() -> None:
    """TOML's own numbers and booleans need no quotes."""
    texts = [Column(constant=value).made_of.literals[0] for value in ("x", 3, 1.5, True)]

    assert texts == ["x", "3", "1.5", "true"]

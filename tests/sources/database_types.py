"""
What each type of each database arrives as: the table that the tests hold the readers to, and that the docs print.
"""

from dataclasses import dataclass

__all__ = ["SETUP", "TYPES", "NativeType", "as_markdown"]

SETUP = {
    "postgresql": (
        "create type mood as enum ('calm', 'wild bird')",
        "create type place as (lat numeric, lon numeric)",
        "create domain short_text as varchar(20)",
        "create extension vector",
        # As the extension makes it: its functions are those of text.
        "create type citext; "
        "create function citextin(cstring) returns citext language internal immutable strict as 'textin';"
        "create function citextout(citext) returns cstring language internal immutable strict as 'textout';"
        "create function citextrecv(internal) returns citext language internal stable strict as 'textrecv';"
        "create function citextsend(citext) returns bytea language internal stable strict as 'textsend';"
        "create type citext (input = citextin, output = citextout, receive = citextrecv, send = citextsend,"
        " internallength = variable, storage = extended, category = 'S', collatable = true)",
    ),
    "mariadb": (),
    "sqlite": (),
}


@dataclass(frozen=True)
class NativeType:
    """
    One type: a value of it as SQL writes it, what it is mapped to, and the JSON that CometChat would get.

    `field` is uid, role, tags, or the type of a metadata key; None arrives where there is nothing.
    """

    database: str
    type: str
    value: str
    field: str
    arrives: str | None


def _all(database: str, *rows: tuple[str, str, str, str | None]) -> list[NativeType]:
    return [NativeType(database, *row) for row in rows]


TYPES = [
    *_all(
        "postgresql",
        ("uuid", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "uid", '"6f9619ff-8b86-d011-b42d-00c04fc964ff"'),
        ("bigint", "9223372036854775807", "uid", '"9223372036854775807"'),
        ("bigint", "9007199254740993", "number", "9007199254740993"),
        ("integer", "7", "text", '"7"'),
        ("numeric(10, 2)", "1.50", "text", '"1.50"'),
        ("numeric(10, 2)", "1.50", "number", "1.5"),
        ("double precision", "12", "text", '"12"'),
        ("double precision", "1e300", "number", "1e300"),
        ("boolean", "true", "text", '"true"'),
        ("boolean", "false", "boolean", "false"),
        ("text", "'  Kíwi '", "text", '"Kíwi"'),
        ("text", "''", "text", None),
        ("text", "null", "text", None),
        ("char(6)", "'NZ'", "text", '"NZ"'),
        ("varchar(20)", "'NA'", "text", '"NA"'),
        ("short_text (a domain)", "'Kiwi'", "text", '"Kiwi"'),
        ("mood (an enum)", "'calm'", "role", '"calm"'),
        ("mood[]", "array['calm', 'wild bird']::mood[]", "tags", '["calm","wild bird"]'),
        ("timestamptz", "'2026-07-01 02:00:00+02'", "text", '"2026-07-01T00:00:00+00:00"'),
        ("timestamptz", "'infinity'", "text", '"infinity"'),
        ("timestamp", "'2026-07-01 02:00:00.5'", "text", '"2026-07-01T02:00:00.5"'),
        ("date", "'2026-07-01'", "text", '"2026-07-01"'),
        ("date", "'0044-03-15 BC'", "text", '"0044-03-15 BC"'),
        ("time", "'02:30'", "text", '"02:30:00"'),
        ("interval", "'1 day 2 hours'", "text", '"1 day 02:00:00"'),
        ("jsonb", """'{"b": [1, null], "a": {"c": "é"}}'""", "json", '{"a":{"c":"é"},"b":[1,null]}'),
        ("jsonb", """'{"a": 1}'""", "text", '"{\\"a\\": 1}"'),
        ("jsonb", """'"Kiwi"'""", "text", '"Kiwi"'),
        ("jsonb", """'"Kiwi"'""", "json", '"Kiwi"'),
        ("jsonb", "'null'", "text", None),
        ("jsonb", "'null'", "json", None),
        ("jsonb", """'["red", null, "blue"]'""", "tags", '["blue","red"]'),
        ("jsonb", """'"12"'""", "json", '"12"'),
        ("jsonb", """'"12"'""", "number", "12"),
        ("jsonb", "'true'", "boolean", "true"),
        ("json", """' "Kiwi" '""", "text", '"Kiwi"'),
        ("json", "'12345678901234567'", "json", "12345678901234567"),
        ("text[]", """'{red,NULL,"a,\\"b",""}'""", "tags", '["a,\\"b","red"]'),
        ("text[]", "'{}'", "tags", None),
        ("text[]", "null", "tags", None),
        ("integer[]", "'{3,1}'", "tags", '["1","3"]'),
        ("integer[]", "'[0:1]={3,1}'", "json", "[3,1]"),
        ("numeric[]", "'{{1.50,NaN},{2,NULL}}'", "json", "[[1.5,null],[2,null]]"),
        ("boolean[]", "'{t,f}'", "json", "[true,false]"),
        ("jsonb[]", """array['{"a": 1}', '[]']::jsonb[]""", "json", '[{"a":1},[]]'),
        (
            "timestamptz[]",
            "array['2026-07-01 02:00:00+02']::timestamptz[]",
            "json",
            '["2026-07-01T00:00:00+00:00"]',
        ),
        ("bytea", "'Kíwi'::bytea", "text", '"Kíwi"'),
        ("inet", "'127.0.0.1'", "text", '"127.0.0.1"'),
        ("int4range", "'[1,5)'", "text", '"[1,5)"'),
        ("place (a composite)", "row(1.50, 2)", "text", '"(1.50,2)"'),
        ("citext (of an extension)", "'Heron-7'", "uid", '"heron-7"'),
        ("citext (of an extension)", "' Kíwi '", "text", '"Kíwi"'),
        ("citext[]", """'{Red,NULL,"a,\\"b",red}'""", "tags", '["Red","a,\\"b","red"]'),
        ("vector (of an extension)", "'[1,2]'", "text", '"[1,2]"'),
    ),
    *_all(
        "mariadb",
        ("bigint unsigned", "18446744073709551615", "uid", '"18446744073709551615"'),
        ("int", "7", "text", '"7"'),
        ("int(5) zerofill", "42", "uid", '"00042"'),
        ("tinyint(1)", "1", "text", '"1"'),
        ("boolean", "true", "boolean", "true"),
        ("bit(1)", "b'1'", "boolean", "true"),
        ("bit(12)", "b'100000000001'", "number", "2049"),
        ("decimal(10, 2)", "1.50", "text", '"1.50"'),
        ("decimal(10, 2)", "1.50", "number", "1.5"),
        ("double", "1e300", "number", "1e300"),
        ("varchar(20)", "'  Kíwi 🥝 '", "text", '"Kíwi 🥝"'),
        ("varchar(20)", "''", "text", None),
        ("varchar(20)", "null", "text", None),
        ("char(6)", "'NZ'", "text", '"NZ"'),
        ("enum('free', 'pro')", "'pro'", "role", '"pro"'),
        ("set('red', 'blue')", "'red,blue'", "text", '"red,blue"'),
        ("datetime(1)", "'2026-07-01 02:00:00.5'", "text", '"2026-07-01T02:00:00.5"'),
        ("datetime", "'0000-00-00'", "text", None),
        ("timestamp", "'2026-07-01 02:00:00'", "text", '"2026-07-01T02:00:00"'),
        ("date", "'2026-07-01'", "text", '"2026-07-01"'),
        ("time", "'-26:30:00'", "text", '"-26:30:00"'),
        ("year", "2026", "number", "2026"),
        ("json", """'{"b": [1, null], "a": {"c": "é"}}'""", "json", '{"a":{"c":"é"},"b":[1,null]}'),
        ("json", "'null'", "json", None),
        ("json", """'["red", null, "blue"]'""", "tags", '["blue","red"]'),
        ("uuid", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "uid", '"6f9619ff-8b86-d011-b42d-00c04fc964ff"'),
        ("blob", "'Kíwi'", "text", '"Kíwi"'),
        ("varbinary(20)", "'Kíwi'", "text", '"Kíwi"'),
        ("inet6", "'::1'", "text", '"::1"'),
    ),
    *_all(
        "sqlite",
        ("integer", "9223372036854775807", "uid", '"9223372036854775807"'),
        ("integer", "1", "boolean", "true"),
        ("integer", "'seven'", "text", '"seven"'),
        ("text", "'0012'", "uid", '"0012"'),
        ("text", "''", "text", None),
        ("text", "null", "text", None),
        ("real", "12.0", "text", '"12"'),
        ("real", "1.5", "number", "1.5"),
        ("text", """'{"b": 1, "a": [null]}'""", "json", '{"a":[null],"b":1}'),
        ("text", """'["red", null, "blue"]'""", "tags", '["blue","red"]'),
        ("blob", "cast('Kíwi' as blob)", "text", '"Kíwi"'),
        ("datetime", "'2026-07-01 02:00:00'", "text", '"2026-07-01 02:00:00"'),
    ),
]

_HEAD = """\
| type | value | mapped to | arrives as |
|---|---|---|---|
"""


def as_markdown(database: str) -> str:
    """Give the part of one database as the docs print it."""
    return _HEAD + "".join(
        f"| {kind.type} | `{_cell(kind.value)}` | {_mapped(kind.field)} | {_arrived(kind.arrives)} |\n"
        for kind in TYPES
        if kind.database == database
    )


def _mapped(field: str) -> str:
    return field if field in {"uid", "role", "tags"} else f"metadata, {field}"


def _arrived(arrives: str | None) -> str:
    return "nothing" if arrives is None else f"`{_cell(arrives)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

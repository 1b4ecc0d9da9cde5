"""Promises about raw cells: what is taken, what goes to quarantine, and why."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.bodies import create_body
from reconcile.core.frame import Quarantined, QuarantineKind, desire, with_roles
from reconcile.core.mapping import ColumnKind, ColumnRule
from reconcile.core.plan import Action
from tests.builders import a_change, a_desired, a_mapping, a_raw_frame, a_row, a_rule, a_typed
from tests.scale import how_many

EMOJI = "\N{OWL}"
URL = "https://example.org/"
BAD_UIDS = [
    "",
    "  ",
    "ki wi",
    "kiwi@example.org",
    "k" * 101,
    "0",
    "Null",
    "undefined",
    "\N{KELVIN SIGN}iwi",
    "kiwi\0",
]


def the_value(
    field: str, cell: str | None, *rules: ColumnRule | str, roles: dict[str, str] | None = None
) -> object:
    """What one cell becomes, or the quarantined row."""
    mapping = a_mapping("name", *(rules or (field,)), roles=roles)
    desired = a_desired(a_row() | {field: cell}, mapping=mapping)
    if desired.quarantined:
        return desired.quarantined[0]
    value = desired.users[field].tolist()[0]
    return value if isinstance(value, str) else None


def refusal(field: str, cell: str, *rules: ColumnRule | str) -> str:
    """Why a cell is not taken."""
    row = the_value(field, cell, *rules)
    assert isinstance(row, Quarantined), row
    assert row.kind is QuarantineKind.INVALID
    return row.detail


def test_text_is_trimmed_and_inner_line_breaks_stay() -> None:
    """White space of any kind goes at both ends, and only there."""
    assert the_value("statusMessage", " \t\N{NO-BREAK SPACE}on\r\nholiday \n") == "on\r\nholiday"


@pytest.mark.parametrize("text", ["0012", "NA", "1e5", "null", "None", "nan", "-", "TRUE"])
def test_text_stays_the_text_that_it_is(text: str) -> None:
    """A name NA is a name, and a leading zero is a character."""
    assert the_value("name", text) == text


@pytest.mark.parametrize("cell", ["", "  ", None])
def test_an_empty_cell_is_nothing(cell: str | None) -> None:
    """Blank text and NULL are one."""
    assert the_value("avatar", cell) is None


@pytest.mark.parametrize("uid", BAD_UIDS)
def test_a_row_without_a_usable_uid_is_quarantined_and_nameless(uid: str) -> None:
    """Nobody knows whom it meant, and the count says so."""
    desired = a_desired(a_row("fig"), a_row(uid))
    (row,) = desired.quarantined

    assert (row.source_row, row.uid, row.kind) == (3, None, QuarantineKind.INVALID)
    assert "the uid" in row.detail
    assert desired.nameless == 1
    assert desired.users["uid"].tolist() == ["fig"]


def test_uids_are_folded() -> None:
    """The key is the same text on both sides."""
    desired = a_desired(a_row(" KiWi "), a_row("0012"))

    assert desired.users["uid"].tolist() == ["kiwi", "0012"]


def test_rows_that_fold_to_one_uid_all_go_and_name_each_other() -> None:
    """None of them is better than the others."""
    desired = a_desired(a_row("kiwi"), a_row("fig"), a_row("KIWI"), a_row(" Kiwi"))

    assert [(row.source_row, row.uid, row.kind.value) for row in desired.quarantined] == [
        (2, "kiwi", "collision"),
        (4, "kiwi", "collision"),
        (5, "kiwi", "collision"),
    ]
    assert [row.detail for row in desired.quarantined] == [
        "row 2 ('kiwi') folds to 'kiwi', and so does row 4 ('KIWI'), row 5 ('Kiwi')",
        "row 4 ('KIWI') folds to 'kiwi', and so does row 2 ('kiwi'), row 5 ('Kiwi')",
        "row 5 ('Kiwi') folds to 'kiwi', and so does row 2 ('kiwi'), row 4 ('KIWI')",
    ]
    assert desired.users["uid"].tolist() == ["fig"]


def test_a_collision_with_an_invalid_row_is_a_collision_still() -> None:
    """The valid one of the two is not to be trusted either."""
    desired = a_desired(a_row("kiwi", name=""), a_row("KIWI"))

    assert [row.kind.value for row in desired.quarantined] == ["collision", "collision"]
    assert "the name is empty" in desired.quarantined[0].detail


@pytest.mark.parametrize("uid", ["", "0", "ki wi"])
def test_rows_without_a_usable_uid_do_not_collide(uid: str) -> None:
    """Nobody knows that they meant the same user."""
    desired = a_desired(a_row(uid), a_row(uid))

    assert [row.kind.value for row in desired.quarantined] == ["invalid", "invalid"]
    assert desired.nameless == 2


def test_a_large_collision_names_a_few() -> None:
    """The detail stays readable."""
    desired = a_desired(*[a_row("kiwi") for _ in range(9)])

    assert desired.quarantined[0].detail.endswith("row 7 ('kiwi') and 3 more")
    assert desired.quarantined[8].detail.endswith("row 6 ('kiwi') and 3 more")


def test_an_export_in_which_every_row_has_one_uid_is_told_in_time() -> None:
    """Once each row listed all the others: 200,000 rows would have taken hours."""
    rows = [a_row("kiwi") for _ in range(how_many(20_000, soak=200_000))]
    desired = a_desired(*rows)

    assert len(desired.quarantined) == len(rows)
    assert max(len(row.detail) for row in desired.quarantined) < 200


@pytest.mark.parametrize(
    ("field", "longest", "longer"),
    [
        ("name", "k" * 100, "k" * 101),
        ("name", EMOJI * 50, EMOJI * 50 + "k"),
        ("name", "é" * 100, "é" * 101),
        ("avatar", URL + "k" * 2980, URL + "k" * 2981),
        ("link", URL + "é" * 2980, URL + "é" * 2981),
        ("tags", "k" * 100, "k" * 101),
        ("tags", EMOJI * 50, EMOJI * 51),
        ("tags", "|".join(map(str, range(25))), "|".join(map(str, range(26)))),
        ("role", "k" * 100, "k" * 101),
    ],
)
def test_every_limit_is_met_exactly(field: str, longest: str, longer: str) -> None:
    """What CometChat takes is taken, one more is named here with its row."""
    assert isinstance(the_value(field, longest), str)
    assert refusal(field, longer)


def test_metadata_is_measured_as_it_would_be_sent() -> None:
    """Five kilobytes of JSON, with its keys, quotes and braces."""
    rules = ("metadata.a", "metadata.bé")
    room = 5 * 1024 - len('{"a":"","bé":"k"}'.encode())
    mapping = a_mapping("name", *rules)

    fits = a_desired(a_row(metadata__a="k" * room, metadata__bé="k"), mapping=mapping)
    over = a_desired(a_row(metadata__a="k" * (room - 1) + "é", metadata__bé="k"), mapping=mapping)

    assert not fits.quarantined
    assert over.quarantined[0].detail == "metadata is larger than 5120 bytes"


def test_the_whole_user_is_measured_as_it_would_be_sent() -> None:
    """Ten kilobytes, and a line break counts as two bytes there."""
    mapping = a_mapping("name", "statusMessage", "tags", "metadata.a")
    frame = len('{"uid":"kiwi","name":"Kiwi","tags":["fig"],"metadata":{"a":"b"},"statusMessage":""}')
    room = 10 * 1024 - frame

    fits = a_desired(a_row(tags="fig", metadata__a="b", statusMessage="k" * room), mapping=mapping)
    over = a_desired(a_row(tags="fig", metadata__a="b", statusMessage="k" * (room - 2) + "\nk"), mapping=mapping)

    assert not fits.quarantined
    assert "larger than the 10240 bytes" in over.quarantined[0].detail


@given(
    st.dictionaries(st.sampled_from(["name", "statusMessage", "tags", "metadata.a", "role"]), st.text(max_size=8))
)
@settings(max_examples=60, deadline=None)
def test_no_body_that_is_sent_is_larger_than_was_reckoned(cells: dict[str, str]) -> None:
    """The arithmetic over columns agrees with the JSON of one user, whatever has to be escaped in it."""
    mapping = a_mapping("name", "statusMessage", "tags", "metadata.a", "role")
    padding = '\N{OWL}"\\\n' * 1500
    row = {"id": "kiwi", **cells, "statusMessage": padding + cells.get("statusMessage", "")}
    desired = a_desired(row, mapping=mapping)

    for values in desired.users.to_dict("records"):
        known = {field: value if isinstance(value := values[field], str) else None for field in desired.fields}
        body = create_body(a_change(action=Action.CREATE, desired=known))

        assert len(msgspec.json.encode(body)) <= 10 * 1024


@pytest.mark.parametrize("url", ["https://example.org", "HTTP://x/é?a=b#c", "ftp+x://kiwi"])
def test_a_url_is_taken(url: str) -> None:
    """Any scheme and host will do: the service does not fetch it."""
    assert the_value("avatar", url) == url


@pytest.mark.parametrize(
    "url", ["kiwi.png", "/kiwi.png", "https://", "https:///kiwi", "https://a b", "javascript:x", "https://a\nb"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """The service checks avatars and links, so we do."""
    assert refusal("link", url) == "link is not a URL"


def test_an_empty_name_is_invalid() -> None:
    """CometChat requires one."""
    assert "the name is empty" in refusal("name", " ")


def test_one_row_says_everything_that_is_wrong_with_it() -> None:
    """A person mends a row once."""
    mapping = a_mapping("name", "avatar", "role")
    (row,) = a_desired(a_row("ki wi", name="", avatar="x", role="a b"), mapping=mapping).quarantined

    assert [part.split()[0] for part in row.detail.split("; ")] == ["the", "the", "avatar", "role:"]


@pytest.mark.parametrize(
    ("cell", "role"),
    [("pro", "premium"), ("Pro", "pro"), ("MODERATOR", "moderator"), (" pro ", "premium"), ("", None)],
)
def test_roles_are_translated_by_the_map_and_folded(cell: str, role: str | None) -> None:
    """A value that is not in the map is used as it is."""
    assert the_value("role", cell, roles={"pro": "Premium"}) == role


@pytest.mark.parametrize("role", ["a b", "vip!", "é", "\N{KELVIN SIGN}ing"])
def test_what_cannot_be_a_role_is_invalid(role: str) -> None:
    """It could never be created, so it is named before any request."""
    assert "cannot be a role" in refusal("role", role)


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("fig", '["fig"]'),
        (" plum | fig ||plum", '["fig","plum"]'),
        ("|", None),
        ("[]", None),
        ('["plum", "fig"]', '["fig","plum"]'),
        ('["fig", null, 7]', '["7","fig"]'),
        ("[fig|plum]", '["[fig","plum]"]'),
        ('a"b', '["a\\"b"]'),
    ],
)
def test_tags_are_split_at_the_separator_or_read_from_an_array(cell: str, tags: str | None) -> None:
    """Databases and typed files have arrays for tags."""
    assert the_value("tags", cell) == tags


def test_the_separator_of_tags_is_free() -> None:
    """Whatever the export uses."""
    rule = a_rule("tags", "tags", ColumnKind.TAGS, separator=";")

    assert the_value("tags", "fig;plum|pear", rule) == '["fig","plum|pear"]'


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        (ColumnKind.TEXT, "0012", '"0012"'),
        (ColumnKind.TEXT, 'a"\n', '"a\\""'),
        (ColumnKind.NUMBER, "12", "12"),
        (ColumnKind.NUMBER, "+012", "12"),
        (ColumnKind.NUMBER, "1.50", "1.5"),
        (ColumnKind.NUMBER, "1e3", "1000"),
        (ColumnKind.NUMBER, "12345678901234567890123", "12345678901234567890123"),
        (ColumnKind.BOOLEAN, "Yes", "true"),
        (ColumnKind.BOOLEAN, "0", "false"),
        (ColumnKind.JSON, ' {"b": 1.0, "a": null} ', '{"a":null,"b":1}'),
        (ColumnKind.JSON, "null", None),
        (ColumnKind.JSON, "", None),
    ],
)
def test_typed_metadata_becomes_canonical_json(kind: ColumnKind, cell: str, value: str | None) -> None:
    """It is compared in the declared type."""
    rule = a_typed("key", kind)

    assert the_value("metadata.key", cell, rule) == value


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        (ColumnKind.NUMBER, "twelve"),
        (ColumnKind.NUMBER, "1_000"),
        (ColumnKind.NUMBER, "nan"),
        (ColumnKind.NUMBER, "1e999"),
        (ColumnKind.NUMBER, "0x10"),
        (ColumnKind.BOOLEAN, "maybe"),
        (ColumnKind.JSON, "{"),
        (ColumnKind.JSON, "NaN"),
        (ColumnKind.JSON, "[" * 100_000),
        (ColumnKind.JSON, '"\\ud800"'),
    ],
)
def test_metadata_that_is_not_of_its_type_is_invalid(kind: ColumnKind, cell: str) -> None:
    """The row is named, and the run goes on."""
    assert refusal("metadata.key", cell, a_typed("key", kind)).startswith("metadata.key: ")


def test_roles_that_the_app_lacks_go_to_quarantine_with_their_rows() -> None:
    """They are known only once the app was asked."""
    mapping = a_mapping("name", "role")
    rows = (a_row("kiwi", role="vip"), a_row("fig", role="default"), a_row("plum"), a_row("", role="vip"))

    checked = with_roles(a_desired(*rows, mapping=mapping), {"default"})

    assert checked.users["uid"].tolist() == ["fig", "plum"]
    assert [(row.source_row, row.uid, row.kind.value) for row in checked.quarantined] == [
        (2, "kiwi", "unknown_role"),
        (5, None, "invalid"),
    ]
    assert "'vip'" in checked.quarantined[0].detail
    assert checked.shielded_uids == {"kiwi"}


def test_roles_are_nobodys_business_where_none_is_mapped() -> None:
    """Then nothing about them can be wrong."""
    desired = a_desired(a_row(), mapping=a_mapping("name"))

    assert with_roles(desired, set()) is desired


def test_ragged_rows_are_counted_with_the_others_and_stand_in_source_order() -> None:
    """Their line is all that is known of them."""
    ragged = Quarantined(3, None, QuarantineKind.INVALID, "the row has 3 cells and the header 2")
    raw = a_raw_frame([a_row("kiwi"), a_row("!"), a_row("fig")], ("id", "name", "role"))

    desired = desire(raw, a_mapping(), [ragged])

    assert [row.source_row for row in desired.quarantined] == [3, 3]
    assert (desired.rows, len(desired.users), desired.nameless) == (4, 2, 2)


def test_the_callers_frame_stays_as_it_was() -> None:
    """Frames are never changed in place."""
    raw = a_raw_frame([a_row(" KIWI "), a_row("")], ("id", "name", "role"))
    before = raw.copy(deep=True)

    desire(raw, a_mapping())

    assert raw.equals(before)


def test_an_empty_export_is_an_empty_state() -> None:
    """Whether that may be is a guard's matter."""
    desired = a_desired()

    assert (desired.rows, len(desired.users), desired.quarantined) == (0, 0, ())


def test_one_column_may_feed_several_fields() -> None:
    """The same cell as profile text and as metadata."""
    mapping = a_mapping(a_rule("name", "label"), a_rule("metadata.label", "label"))
    users = desire(a_raw_frame([{"id": "kiwi", "label": "Kiwi"}], ("id", "label")), mapping).users

    assert (users["name"].tolist(), users["metadata.label"].tolist()) == (["Kiwi"], ['"Kiwi"'])


def test_a_row_without_a_uid_stays_where_only_a_few_users_are_kept() -> None:
    """It may mean one of them: a retry deactivates nobody beside it either."""
    few = a_desired(a_row("kiwi"), a_row("heron"), a_row("no uid!")).only(["kiwi"])

    assert (few.rows, len(few.users), few.nameless) == (2, 1, 1)

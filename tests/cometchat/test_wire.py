"""Promises about what an answer means, whatever it looks like."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.cometchat.wire import (
    BadAnswer,
    ErrorBody,
    Page,
    RateHeaders,
    read_error,
    read_news,
    read_page,
    read_rate_headers,
    read_roles,
    read_uid_lists,
    read_user,
    read_users,
)
from reconcile.core.actual import no_rows

FIELDS = ("name", "tags", "metadata.a")


def the_page(body: bytes) -> Page:
    """Read a page of the list."""
    return read_page(body, FIELDS)


# What is in a body

DEEP = 100_000
NOT_JSON = [
    b"",
    b" ",
    b"<html><h1>502</h1></html>",
    b"null",
    b"true",
    b"17",
    b'"text"',
    b"[]",
    b"{}",
    b'{"data":',
    b'{"data":{}',
    b'{"data":NaN}',
    b'{"data":Infinity}',
    b"\xef\xbb\xbf",
    b'{"data":{}}{"data":{}}',
    b"[" * DEEP,
    b'{"data":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'{"data":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    b'{"error":"all wrong"}',
    b'{"error":[]}',
    b'{"error":{"code":["ERR_BAD_REQUEST"]}}',
]


@pytest.mark.parametrize("body", [b'{"data":1e400}', b'{"data":"\xff"}'])
def test_data_that_is_no_json_is_found_where_it_is_read(body: bytes) -> None:
    """The envelope is looked at for its error alone."""
    assert read_error(body) == ErrorBody()
    for read in (read_users, the_page, read_roles, read_uid_lists, lambda raw: read_user(raw, "kiwi")):
        with pytest.raises(BadAnswer):
            read(body)


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
def test_a_body_that_is_no_envelope_counts_as_no_answer(body: bytes) -> None:
    """Nor does it read as anything else."""
    assert read_error(body) is None
    for read in (read_users, the_page, read_roles, read_uid_lists, lambda raw: read_user(raw, "kiwi")):
        with pytest.raises(BadAnswer):
            read(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"data":{}}', ErrorBody()),
        (b'{"data":null}', ErrorBody()),
        (b'{"data":[],"error":null}', ErrorBody()),
        (b'{"error":{}}', ErrorBody()),
        (b'{"error":{"code":null,"message":"m"}}', ErrorBody()),
        (b'{"error":{"code":"ERR_BAD_REQUEST"}}', ErrorBody("ERR_BAD_REQUEST")),
        (b'{"error":{"code":"ERR_X","details":{"tags.0":["blank"]}}}', ErrorBody("ERR_X", ("tags.0",))),
        (b'{"error":{"code":"ERR_X","details":["blank"]}}', ErrorBody("ERR_X")),
        (b'{"error":{"code":"ERR_X","details":{"a key ab":1,"name":2}}}', ErrorBody("ERR_X", ("name",))),
    ],
)
def test_an_error_is_its_code_and_its_fields(body: bytes, expected: ErrorBody) -> None:
    """The texts of the service never travel: they may repeat the key."""
    assert read_error(body) == expected


@pytest.mark.parametrize(
    "code", ["5a4d0000f011", "key=5a4d0000f011", "ERR X", "err_bad", "E" * 81, "=cmd|' /C", 404]
)
def test_a_code_that_does_not_look_like_one_is_not_carried_on(code: str | int) -> None:
    """What stands in its place may be the key as well."""
    body = json.dumps({"error": {"code": code}})

    assert read_error(body.encode()) == ErrorBody()


@pytest.mark.parametrize(
    "data",
    [
        "null",
        "[]",
        "{}",
        "17",
        '{"uid":7}',
        '{"uid":null}',
        '{"uid":"lime"}',
        '{"uid":"kiwi","tags":"a"}',
        '"kiwi"',
    ],
)
def test_an_answer_about_nobody_or_somebody_else_is_refused(data: str) -> None:
    """A user is taken only where the whole record is of that user."""
    with pytest.raises(BadAnswer):
        read_user(f'{{"data":{data}}}'.encode(), "kiwi")


def test_a_user_is_read_whatever_the_case_of_its_uid() -> None:
    """The service folds uids, and shows some as they were sent."""
    user = read_user(b'{"data":{"uid":"KIWI","statusMessage":"ripe","updatedAt":"1700000000","new":[1]}}', "kiwi")

    assert (user.uid, user.status_message, user.updated_at) == ("KIWI", "ripe", 1_700_000_000)


def test_a_page_cut_anywhere_is_refused() -> None:
    """No prefix of a page reads as a shorter page."""
    page = b'{"data":[{"uid":"kiwi"},{"uid":"LIME","tags":["a"]}],"meta":{"count":2}}'
    for end in range(len(page)):
        for read in (read_users, the_page, lambda body: read_news(body, FIELDS, lambda _: False)):
            with pytest.raises(BadAnswer):
                read(page[:end])

    assert [user.uid for user in read_users(page)] == ["kiwi", "LIME"]
    assert the_page(page).rows["tags"].to_pylist() == [None, '["a"]']


@pytest.mark.parametrize("news", ["lime", ""])
def test_a_page_without_news_gives_its_uids_alone(news: str) -> None:
    """To a second walk nearly all are like that."""
    page = b'{"data":[{"uid":"kiwi"},{"uid":"LIME","tags":["a"]}]}'

    found = read_news(page, FIELDS, lambda uids: news in uids.to_pylist())

    assert found.uids.to_pylist() == ["kiwi", "lime"]
    assert found.rows.equals(the_page(page).rows if news else no_rows(FIELDS))


def test_metadata_that_is_no_text_is_refused() -> None:
    """Though it is left undecoded."""
    with pytest.raises(BadAnswer):
        the_page(b'{"data":[{"uid":"kiwi","metadata":{"a":"\xff"}}]}')


def test_a_page_with_somebody_deactivated_is_read_whole() -> None:
    """Seen active before and deactivated now is news, too."""
    page = b'{"data":[{"uid":"kiwi","deactivatedAt":1}]}'

    assert len(read_news(page, FIELDS, lambda _: False).rows) == 1


@pytest.mark.parametrize(
    "data", ["{}", "null", '"x"', '{"0":{"uid":"kiwi"}}', "[[]]", '["kiwi"]', '[{"name":"Kiwi"}]']
)
def test_a_page_of_another_shape_is_refused(data: str) -> None:
    """A list that is not one is no empty list."""
    with pytest.raises(BadAnswer):
        the_page(f'{{"data":{data}}}'.encode())

    with pytest.raises(BadAnswer):
        read_users(f'{{"data":{data}}}'.encode())


def test_roles_are_read_in_lower_case() -> None:
    """They are compared so."""
    assert read_roles(b'{"data":[{"role":"Default"},{"role":"vip","name":"V"}]}') == {"default", "vip"}


@pytest.mark.parametrize("data", ["{}", "[{}]", '[{"role":1}]', '["default"]', "null"])
def test_roles_of_another_shape_are_refused(data: str) -> None:
    """An app without a role does not exist."""
    with pytest.raises(BadAnswer):
        read_roles(f'{{"data":{data}}}'.encode())


def test_the_lists_of_a_bulk_answer_are_folded() -> None:
    """Uids are compared in lower case, and what is no list is left out."""
    body = b'{"data":{"deactivatedUids":["Kiwi","lime"],"notFound":[],"message":"done"}}'

    assert read_uid_lists(body) == {"deactivatedUids": {"kiwi", "lime"}, "notFound": set()}


@given(st.binary(max_size=200))
def test_no_bytes_make_a_reader_fail_in_another_way(body: bytes) -> None:
    """A reader gives a value or raises BadAnswer."""
    read_error(body)
    for read in (read_users, the_page, read_roles, read_uid_lists, lambda raw: read_user(raw, "kiwi")):
        try:
            read(body)
        except BadAnswer:
            continue


# Rate headers

SPELLINGS = [
    {"limit": "x-rate-limit", "remaining": "x-rate-limit-remaining", "reset": "x-rate-limit-reset"},
    {"limit": "x-ratelimit-limit", "remaining": "x-ratelimit-remaining", "reset": "x-ratelimit-reset"},
]
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE_S = 784_111_777


@pytest.mark.parametrize("names", SPELLINGS)
def test_rate_headers_are_read_in_either_spelling(names: dict[str, str]) -> None:
    """Two official pages of the vendor spell them differently."""
    headers = {names["limit"]: "700", names["remaining"]: "699"}

    assert read_rate_headers(headers) == RateHeaders(700.0, 699.0)


@pytest.mark.parametrize("names", SPELLINGS)
@pytest.mark.parametrize(
    "value", ["", "-1", "7.5", "1e3", "NaN", "inf", "many", "٧٠٠", "0x10", "7 0", "9" * 17, "1_0"]
)
def test_nonsense_counts_as_absent(names: dict[str, str], value: str) -> None:
    """A header that is not a number says nothing."""
    headers = dict.fromkeys(names.values(), value) | {"date": DATE}

    assert read_rate_headers(headers) == RateHeaders()


def test_nonsense_in_one_spelling_leaves_the_other() -> None:
    """A proxy that writes its own headers does not hide those of the service."""
    assert read_rate_headers({"x-rate-limit": "n/a", "x-ratelimit-limit": "700"}).limit == 700.0


def test_a_limit_of_none_is_no_limit_and_nothing_left_is_nothing() -> None:
    """A limit of 0 cannot be meant; a remainder of 0 can."""
    headers = {"x-rate-limit": "0", "x-rate-limit-remaining": "0"}

    assert read_rate_headers(headers) == RateHeaders(None, 0.0)


# Retry-After: the literal cases, and the wait that each asks for

DIGITS = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "10",
    "11",
    "12",
    "13",
    "14",
    "15",
    "16",
    "17",
    "18",
    "19",
    "20",
    "21",
    "22",
    "23",
    "24",
    "25",
    "26",
    "27",
    "28",
    "29",
    "30",
    "31",
    "32",
    "33",
    "34",
    "35",
    "36",
    "37",
    "38",
    "39",
    "40",
    "45",
    "50",
    "55",
    "59",
    "60",
    "61",
    "90",
    "100",
    "119",
    "120",
    "121",
    "180",
    "200",
    "240",
    "270",
    "298",
    "299",
    "300",
    "301",
    "302",
    "360",
    "400",
    "500",
    "599",
    "600",
    "601",
    "900",
    "1000",
    "1800",
    "3599",
    "3600",
    "3601",
    "7200",
    "10000",
    "43200",
    "86399",
    "86400",
    "86401",
    "100000",
    "604800",
    "1000000",
    "31536000",
    "999999999",
    "000",
    "007",
    "0015",
    "00000300",
]
# The clock in the header, and the seconds that lie between the answer's own Date and it.
CLOCKS = {
    "08:49:37": 0,
    "08:49:38": 1,
    "08:49:39": 2,
    "08:49:42": 5,
    "08:49:47": 10,
    "08:49:52": 15,
    "08:49:59": 22,
    "08:50:00": 23,
    "08:50:07": 30,
    "08:50:37": 60,
    "08:51:37": 120,
    "08:52:36": 179,
    "08:54:36": 299,
    "08:54:37": 300,
    "08:54:38": 301,
    "08:59:37": 600,
    "09:00:00": 623,
    "09:49:37": 3600,
    "12:00:00": 11_423,
    "20:49:37": 43_200,
    "23:59:59": 54_622,
    "08:49:36": 0,
    "08:49:00": 0,
    "07:00:00": 0,
    "00:00:00": 0,
}
FORMS = {
    "fixed": "Sun, 06 Nov 1994 {} GMT",
    "obsolete": "Sunday, 06-Nov-94 {} GMT",
    "asctime": "Sun Nov  6 {} 1994",
}
NONSENSE = [
    "",
    " ",
    "soon",
    "-1",
    "-300",
    "+5",
    "1.5",
    "1,5",
    "1e3",
    "0x1e",
    "NaN",
    "inf",
    "five",
    "٥",
    "５",
    "5s",
    "5 s",
    "5;",
    "PT5S",
    "9" * 16,
    "9" * 4000,
    "null",
    "true",
    "[5]",
    "5, 6",
    "Sun",
    "GMT",
    "08:49:37",
    "Sun, 99 Nov 1994 08:49:37 GMT",
    "Sun, 06 Foo 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 25:61:61 GMT",
]


@pytest.fixture(params=["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine somewhere else: up to a day off, one way and the other."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("digits", DIGITS)
def test_retry_after_in_seconds_is_taken_as_it_stands(digits: str) -> None:
    """Whatever other headers say."""
    headers = {"retry-after": digits, "date": DATE, "x-rate-limit-reset": str(DATE_S + 1)}

    assert read_rate_headers(headers).wait_s == int(digits)
    assert read_rate_headers({"retry-after": f" {digits} "}).wait_s == int(digits)


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("clock", CLOCKS)
def test_retry_after_as_a_date_is_measured_against_the_answers_own(form: str, clock: str) -> None:
    """In each of the three forms of an HTTP date, and wherever this machine stands."""
    headers = {"retry-after": FORMS[form].format(clock), "date": DATE}

    assert read_rate_headers(headers).wait_s == CLOCKS[clock]


@pytest.mark.parametrize("value", NONSENSE)
def test_a_retry_after_that_says_nothing_leaves_the_reset(value: str) -> None:
    """And without a reset there is no wait that was asked for."""
    assert read_rate_headers({"retry-after": value, "date": DATE}).wait_s is None
    assert (
        read_rate_headers({"retry-after": value, "date": DATE, "x-rate-limit-reset": str(DATE_S + 8)}).wait_s == 8
    )


@pytest.mark.parametrize("names", SPELLINGS)
@pytest.mark.parametrize(
    ("ahead", "wait"), [(0, 0), (1, 1), (60, 60), (300, 300), (86_400, 86_400), (-1, 0), (-9e8, 0)]
)
def test_a_reset_is_measured_against_the_answers_own_date(
    names: dict[str, str], ahead: float, wait: float
) -> None:
    """A reset in the past asks for nothing."""
    headers = {names["reset"]: str(max(0, int(DATE_S + ahead))), "date": DATE}

    assert read_rate_headers(headers).wait_s == wait


@pytest.mark.parametrize("reset", [DATE_S * 1000, DATE_S * 10**6, DATE_S + 86_401, 9 * 10**14])
def test_a_reset_that_is_ages_away_says_nothing(reset: int) -> None:
    """It is in another unit; once it would have stopped the run."""
    assert read_rate_headers({"x-rate-limit-reset": str(reset), "date": DATE}).wait_s is None


def test_a_date_without_the_answers_own_says_nothing() -> None:
    """This machine's clock is not asked: it may be wrong."""
    headers = {"retry-after": DATE, "x-rate-limit-reset": str(DATE_S)}

    assert read_rate_headers(headers).wait_s is None


_FORMATS: dict[str, Any] = {
    "fixed": lambda moment: format_datetime(moment, usegmt=True),
    "obsolete": lambda moment: moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    "asctime": lambda moment: moment.strftime("%a %b %e %H:%M:%S %Y"),
}
_MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2066, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants bounds without a zone


@given(_MOMENTS, st.integers(0, 10**7), st.sampled_from(sorted(_FORMATS)), st.sampled_from(sorted(_FORMATS)))
def test_no_date_is_read_as_earlier_than_it_asks(now: datetime, ahead: int, form: str, own: str) -> None:
    """All forms against all forms."""
    now = now.replace(microsecond=0)
    then = now + timedelta(seconds=ahead)
    headers = {"retry-after": _FORMATS[form](then), "date": _FORMATS[own](now)}

    assert read_rate_headers(headers).wait_s == ahead


@given(st.dictionaries(st.sampled_from(["retry-after", "date", *SPELLINGS[0].values()]), st.text(max_size=40)))
def test_no_header_makes_reading_fail(headers: dict[str, str]) -> None:
    """And no wait is negative."""
    read = read_rate_headers(headers)

    assert read.wait_s is None or read.wait_s >= 0
    assert read.limit is None or read.limit > 0

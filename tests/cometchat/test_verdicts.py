"""Promises about the error table: it is whole, it says the same as these rows, and users can read it."""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from reconcile.cometchat import verdicts
from reconcile.cometchat.verdicts import (
    NO_CERTIFICATE,
    TABLE,
    UNREADABLE,
    Answer,
    Failure,
    Form,
    Row,
    Verdict,
    judge,
)

# The table, written out once more: first what the rows name, then what holds for the rest of a hundred. A pair
# is a read and a write.
UNSURE = ("again", "unclear")
STOP, WAIT, REJECT, DONE = (("stop",) * 2, ("wait",) * 2, ("reject",) * 2, ("done",) * 2)
SAME = {401: STOP, 403: STOP, 409: ("once", "unclear"), 429: WAIT, 501: REJECT, 505: REJECT}
JSON_ROWS = SAME | dict.fromkeys((408, 417, 425), UNSURE)
JSON_HUNDREDS = {1: REJECT, 2: DONE, 3: REJECT, 4: REJECT, 5: UNSURE}
# A page in HTML, or half an answer, did not come from the API: it proves neither success nor absence.
OTHER_HUNDREDS = {1: REJECT, 2: UNSURE, 3: REJECT, 4: UNSURE, 5: UNSURE}
CODES = {
    "ERR_UID_NOT_FOUND": ("absent", "absent"),
    "ERR_UID_ALREADY_EXISTS": ("conflict", "conflict"),
    "ERR_TOO_MANY_REQUESTS": WAIT,
    "ERR_OPERATION_FAILED": UNSURE,
    "ERR_EXCEPTION": UNSURE,
    "ERR_MISSION_FAILED": UNSURE,
    "ERR_BAD_ERROR_RESPONSE": UNSURE,
    "ERR_BAD_REQUEST": REJECT,
    "ERR_INVALID_UID": REJECT,
    "ERR_ROLE_NOT_FOUND": REJECT,
    "AUTH_ERR_APIKEY_NOT_FOUND": STOP,
    "AUTH_ERR_NO_ACCESS": STOP,
    "AUTH_ERR_EMPTY_APIKEY": STOP,
    "AUTH_ERR_EMPTY_APPID": STOP,
    "AUTH_ERR_INVALID_APPID": STOP,
    "ERR_PLAN_RESTRICTION": STOP,
    "ERR_PLAN_QUOTA_RESTRICTION": STOP,
    "ERR_SUBSCRIPTION_EXPIRED": STOP,
    "ERR_PERMISSION_DENIED": STOP,
    "ERR_API_NOT_FOUND": STOP,
    "ERR_INVALID_API_VERSION": STOP,
}
# Every exception of the HTTP library, and the two that are ours to tell apart.
FAILURES = {
    **dict.fromkeys(["ConnectError", "ConnectTimeout", "PoolTimeout"], ("again", "again")),
    **dict.fromkeys(
        ["UnsupportedProtocol", "LocalProtocolError", "TooManyRedirects", "InvalidURL", *NO_CERTIFICATE.names],
        STOP,
    ),
    **dict.fromkeys(
        [
            "CloseError",
            "DecodingError",
            "HTTPError",
            "HTTPStatusError",
            "NetworkError",
            "ProtocolError",
            "ProxyError",
            "ReadError",
            "ReadTimeout",
            "RemoteProtocolError",
            "RequestError",
            "TimeoutException",
            "TransportError",
            "WriteError",
            "WriteTimeout",
            *UNREADABLE.names,
        ],
        UNSURE,
    ),
    # What only a mistake in our own code can raise.
    **dict.fromkeys(
        ["CookieConflict", "RequestNotRead", "ResponseNotRead", "StreamClosed", "StreamConsumed", "StreamError"],
        ("bug", "bug"),
    ),
}
STATUSES = range(100, 600)


def said(met: Answer | Failure) -> tuple[str, str]:
    """What the table says about a read and a write."""
    row = judge(met)
    return row.verdict(is_write=False).value, row.verdict(is_write=True).value


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_its_row(status: int) -> None:
    """Without a code that is known, the status decides."""
    expected = JSON_ROWS.get(status, JSON_HUNDREDS[status // 100])

    assert said(Answer(status, "")) == expected
    assert said(Answer(status, "ERR_NEVER_HEARD_OF")) == expected


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_without_json_has_its_row(status: int) -> None:
    """An answer that is not the API's is never believed."""
    assert said(Answer(status, None)) == SAME.get(status, OTHER_HUNDREDS[status // 100])


@pytest.mark.parametrize("status", [0, 99, 600, 777, 999])
def test_a_status_that_does_not_exist_is_refused(status: int) -> None:
    """Three digits are all that the protocol asks for."""
    assert said(Answer(status, "")) == said(Answer(status, None)) == REJECT


@pytest.mark.parametrize("code", CODES)
def test_a_known_code_outranks_every_status(code: str) -> None:
    """The vendor documents codes better than statuses."""
    assert {said(Answer(status, code)) for status in STATUSES} == {CODES[code]}


@pytest.mark.parametrize("code", [code for row in TABLE for code in row.codes])
def test_a_code_is_known_by_its_whole_name(code: str) -> None:
    """One that only begins so, or ends sooner, is one that nobody has heard of."""
    others = [code.removesuffix("_*")] if code.endswith("*") else [code + "S", code[:-1]]

    assert {said(Answer(422, other)) for other in others} <= {REJECT} | ({STOP} if "AUTH_ERR_" in code else set())


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_has_its_row(name: str) -> None:
    """Also as the base of a class that nobody has heard of."""
    assert said(Failure((name,))) == said(Failure(("NewlyMade", name, "Exception"))) == FAILURES[name]


def test_every_exception_of_the_library_has_its_row() -> None:
    """A class that a new version brings fails here."""
    known = {
        name for name, value in vars(httpx).items() if inspect.isclass(value) and issubclass(value, Exception)
    }

    assert known == {name for row in TABLE for name in row.failures} - {*NO_CERTIFICATE.names, *UNREADABLE.names}
    assert known | {*NO_CERTIFICATE.names, *UNREADABLE.names} == FAILURES.keys()


def test_a_failure_that_nobody_has_heard_of_is_a_bug_that_names_it() -> None:
    """Nothing is guessed about it."""
    with pytest.raises(AssertionError, match="NewlyMade"):
        judge(Failure(("NewlyMade", "Exception")))


def test_every_verdict_has_a_row() -> None:
    """None is there for nothing."""
    assert {verdict for row in TABLE for verdict in (row.read, row.write)} == set(Verdict)


def test_every_code_of_the_table_is_tried_here() -> None:
    """And no row of codes is hidden behind another."""
    rows = [row for row in TABLE if row.codes]

    assert {id(judge(Answer(400, code))) for code in CODES} == {id(row) for row in rows}
    assert {code for row in rows for code in row.codes if not code.endswith("*")} <= CODES.keys()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.what)
def test_what_ends_a_run_or_a_change_has_a_remedy(row: Row) -> None:
    """Absence and a taken uid end nothing: they are looked into."""
    settled = {Verdict.DONE, Verdict.ABSENT, Verdict.CONFLICT}

    assert bool(row.remedy) is (row.read not in settled)


def test_a_lost_write_is_never_sent_again_unseen() -> None:
    """What is repeated without a look was refused for its rate, or never left."""
    repeated = [row for row in TABLE if row.write in {Verdict.AGAIN, Verdict.ONCE}]

    assert [sorted(row.failures) for row in repeated] == [["ConnectError", "ConnectTimeout", "PoolTimeout"]]


def changed(row: Row) -> Iterator[Row]:
    """The row with one part of it another, or gone."""
    for verdict in (Verdict.STOP, Verdict.REJECT):
        yield replace(row, read=verdict)
        yield replace(row, write=verdict)
    yield from (replace(row, codes=tuple(set(row.codes) - {code})) for code in row.codes)
    yield from (replace(row, failures=row.failures - {name}) for name in row.failures)
    edges = {status for status in row.statuses if not {status - 1, status + 1} <= row.statuses}
    yield from (replace(row, statuses=row.statuses - {status}) for status in edges)
    yield from (replace(row, form=form) for form in Form if row.statuses)


def whole_table() -> list[tuple[str, Verdict, Verdict]]:
    """What the table says about everything that there is."""
    every: list[Answer | Failure] = [Failure((name,)) for name in FAILURES]
    every += [Answer(400, code) for code in CODES]
    every += [Answer(status, code) for status in (0, *STATUSES, 999) for code in ("", None)]
    return [(row.what, row.read, row.write) for row in map(judge, every)]


def test_every_part_of_the_table_decides_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """With any of it another or gone, something is judged otherwise, or by nothing."""
    known, idle = whole_table(), []
    for at, row in enumerate(TABLE):
        for other in changed(row):
            monkeypatch.setattr(verdicts, "TABLE", (*TABLE[:at], other, *TABLE[at + 1 :]))
            with suppress(AssertionError):
                if whole_table() == known and other != row:
                    idle.append((row.what, other.form))

    # What has JSON in it was taken by the row above.
    assert idle == [("a success without CometChat's JSON in it", Form.ANY)]


# The table for users

PAGE = Path(__file__).parent.parent.parent / "docs" / "errors-of-cometchat.md"
# In words: a read, a write.
WORDS = {
    Verdict.DONE: ("done", "done, when what it shows is what was sent"),
    Verdict.ABSENT: ("the user is not there", "skipped: the user vanished"),
    Verdict.CONFLICT: ("-", "a look shows who has it: updated, reactivated or skipped, as the policy says"),
    Verdict.WAIT: (
        "all wait as long as asked, then the same again",
        "all wait as long as asked, then the same again",
    ),
    Verdict.AGAIN: ("the same again, six times in all", "the same again, six times in all"),
    Verdict.ONCE: ("the same again, once", "-"),
    Verdict.UNCLEAR: ("-", "a look shows whether it was done; if not, it is sent again"),
    Verdict.REJECT: ("that user is `unknown`", "that change is `rejected`"),
    Verdict.STOP: ("the run stops", "the run stops"),
    Verdict.BUG: ("exit code 1", "exit code 1"),
}


def _spans(statuses: frozenset[int]) -> str:
    """Say which statuses, with runs drawn together."""
    starts = sorted(status for status in statuses if status - 1 not in statuses)
    ends = sorted(status for status in statuses if status + 1 not in statuses)
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True))


def _met(row: Row) -> str:
    if len(row.statuses) == 1000:
        return "the rest"
    form = {Form.ANY: "", Form.JSON: ", with CometChat's JSON", Form.OTHER: ", without CometChat's JSON"}[row.form]
    named = [*(f"`{name}`" for name in [*row.codes, *sorted(row.failures)]), _spans(row.statuses) + form]
    return ", ".join(name for name in named if name)


def _line(row: Row) -> str:
    return f"| {row.what} | {_met(row)} | {WORDS[row.read][0]} | {WORDS[row.write][1]} | {row.remedy} |"


def test_the_page_for_users_shows_the_table() -> None:
    """Row by row, in the same order; a failure shows the lines that the page has to have."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    wanted = [_line(row) for row in TABLE]

    assert lines[1:] == wanted, "\n".join(wanted)

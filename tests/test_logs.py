"""Promises about the log: one event one line, the run on each, nothing secret and nothing that acts."""

import base64
import io
import json
import logging
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcile import logs
from reconcile.settings import Secret

CANARY = "Sh!b/bo+leth==9f31c7"
FORMS = {
    "raw": CANARY,
    "url-encoded": quote(CANARY, safe=""),
    "url-encoded in lower case": "Sh%21b%2fbo%2bleth%3d%3d9f31c7",
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 without its end": base64.b64encode(CANARY.encode()).decode().rstrip("="),
    "base64 for URLs": base64.urlsafe_b64encode(CANARY.encode()).decode(),
}
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

Log = Callable[[], Any]


@pytest.fixture(autouse=True)
def _clean_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "_secrets", {})
    logs.remember_secret(Secret(CANARY))
    yield
    logs.bind_run("")
    structlog.reset_defaults()


class Stream(io.StringIO):
    """A stream that may be a terminal."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def logged(
    form: str, write: Callable[[Any], object], *, level: str = "debug", is_terminal: bool = False
) -> list[str]:
    """Give the lines that a piece of work logs."""
    stream = Stream(is_terminal=is_terminal)
    logs.configure(form=form, level=level, stream=stream, run_id="20261123T021500Z-3f9a")
    write(structlog.get_logger())
    return stream.getvalue().removesuffix("\n").split("\n")


def crash(log: Any, words: str) -> None:
    """Log an exception that was raised from another, with the words in both and in a local."""
    local = words
    try:
        try:
            raise ValueError(words)
        except ValueError as cause:
            raise RuntimeError(f"{words} {len(local)}") from cause
    except RuntimeError:
        log.exception("crashed", words=words)


# Secrets

PLACES: dict[str, Callable[[Any, str], object]] = {
    "the event": lambda log, text: log.info(text),
    "a field": lambda log, text: log.info("sent", url=f"https://x.example/?k={text}"),
    "a field's name": lambda log, text: log.info("sent", **{text: 1}),
    "a list": lambda log, text: log.info("sent", values=[1, [text], (text,), {text}]),
    "a dictionary": lambda log, text: log.info("sent", values={"a": {"b": text, text: "c"}}),
    "bytes": lambda log, text: log.info("sent", body=text.encode()),
    "an error": lambda log, text: log.info("sent", error=ValueError(text)),
    "a path": lambda log, text: log.info("sent", path=Path("/run") / text.replace("/", "_")),
    "an object": lambda log, text: log.info("sent", request=type("R", (), {"__repr__": lambda _: text})()),
    "a secret": lambda log, text: log.info("sent", key=Secret(text)),
    "an exception": crash,
}


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spelling", FORMS)
def test_the_key_never_comes_out(spelling: str, place: str, form: str, *, terminal: bool) -> None:
    """In no form, from no place, on no stream."""
    told = "\n".join(logged(form, lambda log: PLACES[place](log, FORMS[spelling]), is_terminal=terminal))

    assert "info" in told or "error" in told
    assert not [words for words in FORMS.values() if words.rstrip("=") in told]


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize(
    "name", ["apikey", "api_key", "Authorization", "authToken", "auth_token", "db_password", "secret"]
)
def test_a_field_that_is_called_a_secret_is_not_shown(form: str, name: str) -> None:
    """Also one that nobody had us remember, at any depth."""
    lines = logged(form, lambda log: log.info("sent", **{name: "0ther", "headers": {name: "0ther"}}))

    assert "0ther" not in lines[0]
    assert "***" in lines[0]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:pa55@db/x",
        "postgresql://app:pa55/pa55@db/x",
        "postgresql://app:pa55@pa55@db/x",
        "could not connect to mysql+pymysql://app:pa55@db:3306/x?y=1 (refused)",
    ],
)
def test_the_password_of_a_url_is_taken_out(url: str) -> None:
    """Of every URL, whatever characters it has."""
    told = logs.redact(url)

    assert "pa55" not in told
    assert "app:***@db" in told


def test_what_holds_no_secret_is_left_as_it_is() -> None:
    """An empty one takes nothing out either."""
    logs.remember_secret(Secret(""))
    text = "kiwi at https://example.com:8443/v3 met lime@example.com"

    assert logs.redact(text) == text


# Lines

HOSTILE = "a\nb\r\nc\x1b[31m\u202e\u2028\u0085\x00\x07\x9b\ud800\U000e0041é\U0001f95d"


@pytest.mark.parametrize("form", ["console", "json"])
def test_one_event_is_one_line(form: str) -> None:
    """Whatever is in it."""
    lines = logged(
        form, lambda log: (log.info(HOSTILE, name=HOSTILE, names=[HOSTILE, {HOSTILE: HOSTILE}]), log.info("b"))
    )

    assert len(lines) == 2
    assert all("20261123T021500Z-3f9a" in line for line in lines)


@pytest.mark.parametrize("form", ["console", "json"])
def test_an_exception_is_one_line_that_says_what_was_raised(form: str) -> None:
    """With both of the errors, and without the values of any variable."""
    lines = logged(form, lambda log: crash(log, "plum"))

    assert len(lines) == 1
    assert "ValueError" in lines[0]
    assert "RuntimeError" in lines[0]
    assert "local =" not in lines[0] or "plum" not in lines[0].split("local =")[1].split("|")[0]


def test_a_long_exception_keeps_its_end() -> None:
    """What was raised stands there."""

    def deep(depth: int) -> None:
        if depth == 0:
            raise ValueError("x" * 9000 + "the end")
        deep(depth - 1)

    def write(log: Any) -> None:
        try:
            deep(60)
        except ValueError:
            log.exception("crashed")

    (line,) = logged("console", write)

    assert "the end" in line


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text())
def test_no_text_acts_on_a_terminal(event: str, value: str) -> None:
    """Colours are ours alone, and lines too."""
    (line,) = logged("console", lambda log: log.info(event, name=value, names=[value]))

    assert not [char for char in line if unicodedata.category(char) in UNSAFE]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_VALUES)
def test_every_line_of_the_json_form_parses(value: Any) -> None:
    """As JSON, which knows no NaN."""
    (line,) = logged("json", lambda log: log.info("fuzzed", value=value))

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads(line, parse_constant=refuse)["event"] == "fuzzed"


def test_a_line_has_time_level_event_and_run() -> None:
    """In the JSON form, which is collected centrally."""
    (line,) = logged("json", lambda log: log.warning("throttled", wait_s=15.0))
    event = json.loads(line)

    assert event["timestamp"].endswith("Z")
    assert {name: event[name] for name in ("level", "event", "wait_s", "run_id")} == {
        "level": "warning",
        "event": "throttled",
        "wait_s": 15.0,
        "run_id": "20261123T021500Z-3f9a",
    }


def test_the_run_is_on_the_lines_of_every_thread() -> None:
    """Most of them come from workers."""

    def write(log: Any) -> None:
        thread = threading.Thread(target=log.info, args=("from a worker",))
        thread.start()
        thread.join()

    assert "20261123T021500Z-3f9a" in logged("json", write)[0]


def test_a_new_run_takes_the_place_of_the_old_one() -> None:
    """In one process, one after the other."""

    def write(log: Any) -> None:
        logs.bind_run("20270101T000000Z-aaaa")
        log.info("started")

    assert json.loads(logged("json", write)[0])["run_id"] == "20270101T000000Z-aaaa"


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_a_level_keeps_back_what_is_below_it(level: str, count: int) -> None:
    """And the empty log is empty."""
    lines = logged("json", lambda log: (log.debug("a"), log.info("b"), log.warning("c")), level=level)

    assert len([line for line in lines if line]) == count


@pytest.mark.parametrize(("is_terminal", "is_colored"), [(True, True), (False, False)])
def test_colours_are_for_a_terminal(*, is_terminal: bool, is_colored: bool) -> None:
    """A file has none."""
    (line,) = logged("console", lambda log: log.info("started"), is_terminal=is_terminal)

    assert ("\x1b[" in line) is is_colored


def test_the_http_library_is_not_let_talk() -> None:
    """Its lines carry the whole URL, and its debug lines the headers."""
    logged("json", lambda _: None)

    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert not logging.getLogger("httpcore").isEnabledFor(logging.DEBUG)


# One foreign text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kiwi", "kiwi"),
        ("Zoë \U0001f95d", "Zoë \U0001f95d"),
        ("a\nb", "a\\u000ab"),
        ("\x1b[0m", "\\u001b[0m"),
        ("\u202e", "\\u202e"),
        ("\U000e0041", "\\ue0041"),
        (7, "7"),
        ("x" * 200, "x" * 119 + "…"),
        ("\x00" * 200, "\\u0000" * 19 + "\\u000…"),
    ],
)
def test_a_foreign_text_is_made_safe(text: object, expected: str) -> None:
    """Escaped, on one line, and not too long."""
    assert logs.safe(text) == expected


@given(st.text(st.characters()), st.integers(2, 300))
def test_a_safe_text_is_safe_and_short(text: str, limit: int) -> None:
    """Of all that Unicode has."""
    shown = logs.safe(text, limit)

    assert len(shown) <= limit
    assert not [char for char in shown if unicodedata.category(char) in UNSAFE]

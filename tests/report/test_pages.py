"""Promises about the forms that people read: a text from outside does nothing in any of them."""

import base64
import json
import re
import unicodedata
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from importlib import resources

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconcile.core.report import Report
from reconcile.core.survey import Survey
from reconcile.report import encode_report
from reconcile.report.html import render_html
from reconcile.report.markdown import render_markdown
from reconcile.report.terminal import render_terminal
from tests.report.builders import a_change, a_report, a_row, settled, surveyed

HOSTILE = [
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</code></td></tr></table><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    '" onmouseover="alert(1)',
    "<iframe src=javascript:alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<link rel=stylesheet href="https://evil.example/x.css">',
    "<base href=https://evil.example>",
    "<form action=https://evil.example><input>",
    "<!-- ", "]]>", "&lt;script&gt;", "&#60;script&#62;", "{{ 7*7 }}", "{% include 'x' %}", "${7*7}",
    "[x](javascript:alert(1))", "![x](https://evil.example/x.png)", "<https://evil.example>", "https://evil.example",
    "[x]: https://evil.example", "www.evil.example", "`code`", "``", "```\nblock\n```", "a|b|c", "\n| a | b |\n|---|---|",
    "# title", "- item", "1. item", "> quote", "***bold***", "__bold__", "~~gone~~", "\\`x\\`", "a\\|b", "\n\n# title\n",
    "\x1b[31mred\x1b[0m", "\x1b]8;;https://evil.example\x07x\x1b]8;;\x07", "\x9b31m", "\x07", "\x00", "\r\nforged line",
    "\u202egnp.exe", "\u2066x\u2069", "\u200b", "\ufeff", "\u2028line", "\u0085line", "\U000e0041"
]  # fmt: skip
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class Page(HTMLParser):
    """What a browser would make of a page: its tags, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.style = ""
        self.script = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["style"] and not self.style:
            self.style = data
        if self.tags[-1:] == ["script"] and data.strip():
            self.script = data
        self.text += data


def a_survey(text: str) -> Survey:
    """A rejected change that has this text everywhere."""
    return surveyed((a_change(text, uid=text), settled(text)))


def a_page(text: str) -> Page:
    """The HTML report with this text everywhere."""
    return Page(render_html(a_report(text), a_survey(text), [a_row(text)]))


HARMLESS = a_page("Plum")


# HTML


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_a_text_on_the_page(text: str) -> None:
    """In every field: not one tag or attribute more than a harmless one makes."""
    page = a_page(text)

    assert page.tags == HARMLESS.tags
    assert [name for name, _ in page.attributes] == [name for name, _ in HARMLESS.attributes]


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_no_text_changes_the_page(text: str) -> None:
    """And none of its control and direction marks is left."""
    page = a_page(text)

    assert page.tags == HARMLESS.tags
    assert not [char for char in page.text if unicodedata.category(char) in UNSAFE and char != "\n"]


def test_nothing_on_the_page_loads_and_only_its_own_script_runs() -> None:
    """The other script element holds data; no handler, no address."""
    names = {name for name, _ in HARMLESS.attributes}

    assert HARMLESS.tags.count("script") == 2
    assert ("type", "application/gzip;base64") in HARMLESS.attributes
    assert not {"iframe", "object", "embed", "link", "base", "form", "img"} & set(HARMLESS.tags)
    assert not {"src", "href", "action", "style", "srcset", "data"} & names
    assert not [name for name in names if name.startswith("on")]
    assert "://" not in HARMLESS.text
    assert not re.search(r"url\(|@import|expression", HARMLESS.style)


def test_the_policy_of_the_page_lets_nothing_but_its_own_style_and_script_in() -> None:
    """Their hashes are those of what stands there."""
    policy = next(value for name, value in HARMLESS.attributes if "default-src" in value)
    style, script = (
        base64.b64encode(sha256(text.encode()).digest()).decode() for text in (HARMLESS.style, HARMLESS.script)
    )

    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{style}'" in policy
    assert f"script-src 'sha256-{script}'" in policy
    assert "unsafe" not in policy


def test_the_page_says_what_the_report_says() -> None:
    """Headline, numbers, needs, changes and quarantine."""
    report = a_report("Plum", headline="Incomplete: 0 of 1 changes made.", needs=("look at row 3",))
    page = Page(render_html(report, surveyed((a_change("Damson"), settled("did not stick"))), [a_row("no uid")]))

    for words in (
        "Incomplete: 0 of 1",
        "look at row 3",
        "Damson",
        "did not stick",
        "no uid",
        "123 MiB",
        "exit code 4",
    ):
        assert words in page.text


def test_a_report_of_a_run_that_ended_early_is_a_page() -> None:
    """Whatever is not known is missing, and nothing breaks."""
    report = a_report(outcomes=None, forecast=None, error=None, guards={}, needs=(), notes=())
    page = Page(render_html(report, surveyed(), []))

    assert "table" in page.tags


# Markdown


def rendered(text: str) -> Page:
    """The Markdown report with this text everywhere, as a reader with tables and raw HTML shows it."""
    source = render_markdown(a_report(text), a_survey(text), [a_row(text)])
    return Page(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_a_text_in_markdown(text: str) -> None:
    """No link, image, table, heading or raw HTML comes from it."""
    page = rendered(text)

    assert page.tags == rendered("Plum").tags
    assert page.attributes == rendered("Plum").attributes


@settings(max_examples=75, deadline=None)
@given(st.text(max_size=60))
def test_no_text_changes_what_markdown_shows(text: str) -> None:
    """One line each, and no control or direction mark."""
    page = rendered(text)

    assert page.tags == rendered("Plum").tags
    assert not [char for char in page.text if unicodedata.category(char) in UNSAFE and char != "\n"]


def test_a_bare_address_is_not_one_in_markdown() -> None:
    """Readers that make links of addresses find none."""
    source = render_markdown(a_report("see https://evil.example or www.evil.example"), surveyed(), [])

    assert "://" not in source
    assert "www." not in source
    assert "https://evil.example" in unescape(source).replace("\\", "")


# Terminal


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_a_text_on_a_terminal(text: str) -> None:
    """Colours are ours alone, and lines too."""
    told, plain = (render_terminal(a_report(words), [a_change(words, uid=words)], []) for words in (text, "Plum"))

    assert told.count("\x1b") == plain.count("\x1b")
    assert told.count("\n") == plain.count("\n")
    assert not [char for char in told if unicodedata.category(char) in UNSAFE and char not in "\x1b\n"]


@settings(max_examples=300)
@given(st.text())
def test_no_text_reaches_a_terminal_as_a_control(text: str) -> None:
    """Of all that Unicode has."""
    told = render_terminal(a_report(text), [a_change(text, uid=text)], [])

    assert not [char for char in told if unicodedata.category(char) in UNSAFE and char not in "\x1b\n"]


def test_a_summary_says_what_the_report_says() -> None:
    """What needs a person above all."""
    told = render_terminal(a_report("Plum", needs=("look at row 3",), notes=("one note",)), [], ["  report.html"])

    for words in (
        "3 rows, 1 quarantined",
        "10 users seen",
        "1 drifted",
        "look at row 3",
        "one note",
        "report.html",
    ):
        assert words in told


# JSON


def schema() -> dict[str, object]:
    """The schema that is shipped."""
    text = resources.files("reconcile.report").joinpath("schema.json").read_text("utf-8")
    found: dict[str, object] = json.loads(text)
    return found


@pytest.mark.parametrize(
    "report",
    [
        a_report(),
        a_report(outcomes=None, forecast=None, error=None, source=a_report().source),
        a_report(HOSTILE[0]),
    ],
)
def test_a_report_fits_the_schema_that_is_shipped(report: Report) -> None:
    """Whole, and of a run that ended early."""
    jsonschema.validate(json.loads(encode_report(report)), schema(), jsonschema.Draft202012Validator)


def test_the_schema_that_is_shipped_is_that_of_the_report() -> None:
    """A field that is added is added in both."""
    made = json.loads(msgspec.json.encode(msgspec.json.schema(Report)))
    shipped = schema()

    assert {name: shipped[name] for name in made} == made
    assert set(shipped) - set(made) <= {"$schema", "$id", "title", "description"}
    jsonschema.Draft202012Validator.check_schema(shipped)


def test_a_report_comes_back_as_it_went_in() -> None:
    """Counts as whole numbers or null."""
    report = a_report("Plüm \u202e")

    assert msgspec.json.decode(encode_report(report), type=Report) == report

"""Nothing on the report's page runs, and nothing leaves it, whatever its texts hold; seen in a real browser."""

import os
import shutil
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from reconcile.report.html import render_html
from tests.report.builders import a_change, a_report, a_row, settled
from tests.report.test_pages import HOSTILE
from tests.scale import how_many

SCRIPTS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "<body onload=alert(1)>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>", "<object data=https://evil.example>", "<embed src=//evil.example>",
    "<video src=https://evil.example/x onerror=alert(1)>", "<details open ontoggle=alert(1)>", "<input autofocus onfocus=alert(1)>",
    "<style>@import 'https://evil.example/x.css'</style>", "<div style=background:url(https://evil.example/x)>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>", "<link rel=prefetch href=https://evil.example>",
    "<base href=https://evil.example>", "<a href=javascript:alert(1) id=x>x</a>", "<form action=https://evil.example>",
    "<math><mi xlink:href=javascript:alert(1)>", "<template><script>alert(1)</script>", "<noscript><img src=x onerror=alert(1)>",
]  # fmt: skip
BEFORE = [
    "",
    '">',
    "'>",
    "</td></tr></table>",
    "</title>",
    "</style>",
    "</script>",
    "<!-->",
    "--!>",
    "\x00",
    "\u2028",
    "&lt;",
]
PAYLOADS = HOSTILE + [before + script for before, script in islice(product(BEFORE, SCRIPTS), 200)]
CHROMIUM = "chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]  # CI runs as root, without a screen.


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which(CHROMIUM)
    if path is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("there is no Chromium here; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def _events(page: Page) -> list[str]:
    """Note what a page does: dialogs, errors, and requests for anything but itself."""
    events: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        events.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("console", lambda message: events.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: events.append(f"error: {error}"))
    page.on("popup", lambda other: events.append(f"popup: {other.url}"))
    page.on("request", lambda request: events.append(f"request: {request.url}"))
    return events


def _show(page: Page, file: Path, html: str) -> None:
    file.write_text(html, "utf-8", errors="replace")
    page.goto(file.as_uri())
    page.wait_for_load_state("load")


def test_the_browser_sees_what_it_is_asked_to_look_for(browser: Browser, tmp_path: Path) -> None:
    """A page without escapes does all of it; else the next test would prove nothing."""
    page = browser.new_page()
    events = _events(page)
    _show(page, tmp_path / "bad.html", "<script>alert(1);console.log(2)</script><img src=http://127.0.0.1:1/x>")
    page.close()

    assert {event.partition(":")[0] for event in events} >= {"dialog", "console", "request"}


def test_nothing_runs_and_nothing_leaves_the_page(browser: Browser, tmp_path: Path) -> None:
    """Each payload in every field of a change and a row; in those of the run every eighth, when soaking each."""
    assert len(set(PAYLOADS)) >= 200
    page = browser.new_page()
    events = _events(page)
    size = how_many(8, soak=1)
    for start in range(0, len(PAYLOADS), size):
        some = tuple(PAYLOADS[start : start + size])
        changes = [(a_change(payload, uid=payload), settled(payload)) for payload in some]
        report = a_report(some[0], notes=some, needs=some)
        _show(page, tmp_path / "report.html", render_html(report, changes, [a_row(payload) for payload in some]))
        assert {event for event in events if not event.startswith("request: file:")} == set(), some
        assert page.locator("script, img, iframe, svg[onload], form, object, embed, video, base").count() == 0
    page.close()

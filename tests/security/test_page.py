"""Nothing on the report's page runs, and nothing leaves it, whatever its texts hold; seen in a real browser."""

from itertools import islice, product
from pathlib import Path

from playwright.sync_api import Browser

from reconcile.logs import safe
from reconcile.report.html import render_html
from tests.browser import noted, show
from tests.report.builders import a_change, a_report, a_row, settled, surveyed
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
OURS = 4  # elements of these kinds on a page: its style, its script, the packed changes, the search
PAYLOADS = HOSTILE + [before + script for before, script in islice(product(BEFORE, SCRIPTS), 200)]


def test_the_browser_sees_what_it_is_asked_to_look_for(browser: Browser, tmp_path: Path) -> None:
    """A page without escapes does all of it; else the next test would prove nothing."""
    page = browser.new_page()
    events = noted(page)
    show(page, tmp_path / "bad.html", "<script>alert(1);console.log(2)</script><img src=http://127.0.0.1:1/x>")
    page.close()

    assert {event.partition(":")[0] for event in events} >= {"dialog", "console", "request"}


def test_nothing_runs_and_nothing_leaves_the_page(browser: Browser, tmp_path: Path) -> None:
    """Each payload in every field of a change and a row; in those of the run every eighth, when soaking each."""
    assert len(set(PAYLOADS)) >= 200
    page = browser.new_page()
    events = noted(page)
    size = how_many(8, soak=1)
    for start in range(0, len(PAYLOADS), size):
        some = tuple(PAYLOADS[start : start + size])
        changes = [(a_change(payload, uid=payload), settled(payload)) for payload in some]
        report = a_report(some[0], notes=some, needs=some)
        html = render_html(report, surveyed(*changes), [a_row(payload) for payload in some])
        show(page, tmp_path / "report.html", html)
        # Its own script has written the changes anew, and looks through them for one that is there.
        page.fill("#text", safe(some[-1]).strip()[:40])
        assert page.locator("#rows tr").count()
        assert {event for event in events if not event.startswith("request: file:")} == set(), some
        assert page.locator("img, iframe, svg[onload], form, object, embed, video, base, link, a").count() == 0
        assert page.locator("script, style, input").count() == OURS
    page.close()

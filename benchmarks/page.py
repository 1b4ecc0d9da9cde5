"""
How large the page of a report is, how long it takes to write, and how soon a reader can use it:
`python -m benchmarks.page [--changes N ...]`, from the root of the repository, prints a table in Markdown.

Owns the plans and the table. The plans go by as they do in a run, a change at a time. Each page is opened anew in
Debian's Chromium; it can be used once its table has rows that were filtered. Needs Linux, and that Chromium.
"""

import argparse
import os
import platform
import resource
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import msgspec
from playwright.sync_api import Browser

from reconcile.core.report import PlanCounts
from reconcile.core.survey import Survey, SurveyedChange
from reconcile.report.html import render_html
from tests.browser import chromium
from tests.report.builders import a_report, many_changes

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TIMES = 5
_MADE = 20_000  # different changes; a larger plan has them again and again


def main() -> None:
    """Measure each size, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, nargs="+", default=SIZES)
    sizes = parser.parse_args().changes
    _say(
        f"{os.cpu_count()} cores, Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f} at the start.\n"
    )
    _say("| changes | page, KB | written, CPU s | peak, MiB | opened and usable, s (best of 5, worst) |")
    _say("|---|---|---|---|---|")
    with chromium() as browser, TemporaryDirectory() as folder:
        for size in sizes:
            began = process_time()
            page = _page(size)
            written = process_time() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            file = Path(folder) / f"{size}.html"
            file.write_text(page, "utf-8")
            seconds = sorted(_opened(browser, file) for _ in range(TIMES))
            kb = file.stat().st_size / 1000
            _say(
                f"| {size:,} | {kb:,.0f} | {written:.1f} | {peak} | {seconds[0]:.2f}, {seconds[-1]:.2f} |",
            )


def _page(size: int) -> str:
    survey = Survey()
    deque(survey.watch(islice(_changes(size), size)), maxlen=0)
    creates = size // 3
    report = a_report(plan=PlanCounts(creates, size - creates, 0, 0, 0), error=None)
    return render_html(msgspec.structs.replace(report, headline=f"Applied: {size} changes."), survey, ())


def _changes(size: int) -> Iterator[SurveyedChange]:
    made = list(many_changes(min(size, _MADE)))
    while True:
        yield from made


def _opened(browser: Browser, file: Path) -> float:
    page = browser.new_page()
    began = perf_counter()
    page.goto(file.as_uri())
    page.fill("#text", "novák")
    page.locator("#rows tr").first.wait_for()
    seconds = perf_counter() - began
    page.close()
    return seconds


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

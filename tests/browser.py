"""Debian's Chromium, for the tests that look at a page as a reader does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from tests.lacking import needed

__all__ = ["chromium", "noted", "show"]

_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]  # CI runs as root, without a screen


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it; where there is none the test is skipped, but never in CI."""
    path = needed("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


def noted(page: Page) -> list[str]:
    """Note what a page does from now on: dialogs, errors, words in the console, and requests for anything but a file."""
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


def show(page: Page, file: Path, html: str) -> None:
    """Open a page from a file, and wait until its script has done its work."""
    file.write_text(html, "utf-8", errors="replace")
    page.goto(file.as_uri())
    page.wait_for_load_state("load")
    if page.locator("#data").count():
        page.locator("#tools").wait_for()

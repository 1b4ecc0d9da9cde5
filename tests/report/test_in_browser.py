"""What a reader of the HTML report can do and see, in a real browser: every control, both themes, narrow, wide and printed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser import noted, show
from tests.report.nights import NIGHTS, a_night, big_page

WIDTHS = (400, 1600)
CONTROLS = ("text", "action", "reason", "outcome", "field", "clear", "size", "previous", "next")
# Every text that is to be seen, with its colour against what is behind it, as WCAG 2.2 reckons.
CONTRAST = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = parts(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
      if (color[3] > 0) throw new Error("half a colour behind a text");
    }
    return [255, 255, 255];
  };
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), element = walk.currentNode.parentElement;
    if (!text || element.closest("script, style, title, option, .unseen") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const [a, b] = [light(parts(style.color)), light(behind(element))].sort((x, y) => y - x);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if ((a + 0.05) / (b + 0.05) < least) found.push(`${text.slice(0, 40)}: ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return found;
}"""
# Pictures, edges of controls and the outline of what has the keyboard, held against what is behind them: WCAG AA, 1.4.11.
PICTURES = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([...rgb]) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const card = parts(getComputedStyle(document.querySelector(".card")).backgroundColor);
  const ratio = (color) => { const [a, b] = [light(parts(color)), light(card)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = "var(--blue)";
  const seen = { outline: getComputedStyle(probe).color };
  probe.remove();
  for (const rect of document.querySelectorAll("rect[class^=f-]:not(.f-track, .f-empty)")) seen[rect.classList[0]] = getComputedStyle(rect).fill;
  for (const control of document.querySelectorAll("#tools input, #tools select")) seen[control.id] = getComputedStyle(control).borderTopColor;
  return Object.entries(seen).map(([name, color]) => [name, ratio(color)]);
}"""
# Controls that are hard to hit: WCAG AA, 2.5.8.
SMALL = """() => [...document.querySelectorAll("button, select, input")].filter((e) => e.getClientRects().length)
  .filter((e) => Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height) < 24).map((e) => e.id || e.textContent)"""
# What a screen reader would have no name for, and ids that are there twice.
NAMELESS = """() => {
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  const named = (element) => element.getAttribute("aria-label") || element.textContent.trim() || element.labels?.length;
  return [
    ...ids.filter((id, at) => ids.indexOf(id) !== at),
    ...[...document.querySelectorAll("button, select, input, svg[role=img]")].filter((element) => !named(element)).map((e) => e.outerHTML),
    ...[...document.querySelectorAll("svg:not([role=img]):not([aria-hidden]):not(svg svg)")].map((e) => e.outerHTML),
  ];
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page for each night."""
    folder = tmp_path_factory.mktemp("nights")
    found = {}
    for name in NIGHTS:
        found[name] = folder / f"{name}.html"
        found[name].write_text(a_night(name), "utf-8")
    return found


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A window that may write to the clipboard."""
    context = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, files: dict[str, Path]) -> Iterator[Page]:
    """The page of the partial night; whatever a test does there, nothing is said in the console or asked of the network."""
    page = context.new_page()
    events = noted(page)
    open_(page, files["partial"])
    yield page
    assert [event for event in events if not event.startswith("request: file:")] == []


def open_(page: Page, file: Path) -> None:
    """Open a page that is there already."""
    show(page, file, file.read_text("utf-8"))


def rows(page: Page, part: int) -> list[str]:
    """The texts of one column of the table as it is shown."""
    return page.locator(f"#rows td:nth-child({part})").all_inner_texts()


def count(page: Page) -> tuple[int, int, int]:
    """What the pager says: from, to, of how many."""
    numbers = re.findall(r"[\d,]+", page.locator("#count").inner_text())
    first, last, total = (int(number.replace(",", "")) for number in numbers[:3])
    return first, last, total


# Controls


@pytest.mark.parametrize(("control", "part"), [("action", 2), ("reason", 3), ("field", 4), ("outcome", 5)])
def test_a_choice_leaves_what_fits_it(page: Page, control: str, part: int) -> None:
    """Of every kind that there is, as many as the choice says; and all come back."""
    page.select_option("#size", "100")
    options = page.locator(f"#{control} option").all_inner_texts()
    assert len(options) > 2

    for option in options[1:]:
        words, number = re.fullmatch(r"(.+) \(([\d,]+)\)", option).groups()  # type: ignore[union-attr]
        page.select_option(f"#{control}", label=option)
        assert count(page)[2] == int(number)
        assert all(words in text for text in rows(page, part))
    page.select_option(f"#{control}", "")
    assert count(page) == (1, 100, 400)


@pytest.mark.parametrize("text", ["user-", "LINDQVIST", "ERR_BAD_REQUEST", "metadata.country", "people/gone"])
def test_the_search_looks_through_users_values_details_and_fields(page: Page, text: str) -> None:
    """In any case of letters."""
    page.fill("#text", f" {text} ")
    shown = page.locator("#rows tr").all_inner_texts()

    assert shown
    assert all(text.lower() in row.lower().replace("\n", "") for row in shown)


def test_what_fits_nothing_is_said_and_cleared(page: Page) -> None:
    """One button brings everything back."""
    page.fill("#text", "no such thing")
    page.select_option("#action", "create")
    assert page.locator("#count").inner_text() == "Nothing fits (of 400 here)"
    assert page.locator("#rows tr").count() == 0

    page.click("#clear")
    assert count(page) == (1, 25, 400)
    assert [page.input_value(f"#{name}") for name in ("text", "action", "reason", "outcome", "field")] == [""] * 5


def test_filters_hold_together(page: Page) -> None:
    """What is shown fits all of them."""
    page.select_option("#action", "update")
    page.select_option("#outcome", "rejected")
    page.select_option("#field", "name")

    assert set(rows(page, 2)) == {"update"}
    assert all(text.startswith("rejected") for text in rows(page, 5))
    assert all("name" in text for text in rows(page, 4))


@pytest.mark.parametrize(("key", "part"), [("uid", 1), ("action", 2), ("reason", 3), ("field", 4), ("outcome", 5)])
def test_a_column_sorts_up_and_down_and_back(page: Page, key: str, part: int) -> None:
    """And says so to who cannot see it."""
    page.select_option("#size", "100")
    first = rows(page, part)
    head = page.locator(f"[data-sort={key}]")

    def sorted_as() -> list[str]:
        return [text.split("\n")[0] for text in rows(page, part)]

    head.locator("button").click()
    up = sorted_as()
    assert head.get_attribute("aria-sort") == "ascending"
    assert up == sorted(
        up, key=lambda text: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]
    )
    head.locator("button").click()
    down = sorted_as()
    assert head.get_attribute("aria-sort") == "descending"
    assert down == sorted(
        down,
        key=lambda text: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)],
        reverse=True,
    )
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None
    assert rows(page, part) == first


def test_the_pager_shows_every_change_once(page: Page) -> None:
    """To the last page and back."""
    page.select_option("#size", "50")
    assert page.locator("#previous").is_disabled()
    seen = rows(page, 1)
    while page.locator("#next").is_enabled():
        page.click("#next")
        seen += rows(page, 1)
    assert count(page) == (351, 400, 400)
    assert len(seen) == 400
    assert len({text.split("row")[1] for text in seen}) == 400
    page.click("#previous")
    assert count(page) == (301, 350, 400)


def test_what_needs_a_person_stands_first(page: Page) -> None:
    """In the plan's order, as do the others behind them."""
    page.select_option("#size", "100")
    outcomes = [text.split("\n")[0] for text in rows(page, 5)]
    trouble = sum(outcome in {"rejected", "failed", "skipped"} for outcome in outcomes)

    assert trouble
    assert set(outcomes[:trouble]) <= {"rejected", "failed", "skipped"}
    assert not {"rejected", "failed", "skipped"} & set(outcomes[trouble:])


def test_what_a_plan_holds_stands_first(page: Page, files: dict[str, Path]) -> None:
    """And can be filtered for, though nothing was applied."""
    open_(page, files["held"])
    page.select_option("#outcome", "held")
    _, _, held = count(page)
    page.click("#clear")

    assert set(rows(page, 5)) == {"held"}
    assert 25 < held < 400


def test_what_differs_within_a_value_is_marked(page: Page) -> None:
    """And what does not, is not: of a name a letter, of tags the ones that come and go."""
    page.select_option("#action", "update")
    page.select_option("#field", "tags")
    fields = page.locator("#rows .field", has_text="tags")

    assert fields.first.locator("del mark").all_inner_texts() == ["trial"]
    assert fields.first.locator("ins mark").all_inner_texts() == ["beta"]
    page.fill("#text", "Moreau")
    page.select_option("#field", "name")
    name = page.locator("#rows .field", has_text="Mooreau").first
    assert name.locator("del").inner_text() == name.locator("ins").inner_text().replace("Mo", "Moo")
    assert name.locator("del mark").all_inner_texts() == ["o"]
    assert name.locator("ins mark").count() == 0


def test_a_command_is_copied_as_it_stands(page: Page) -> None:
    """Into the clipboard."""
    button = page.locator(".todo .copy").first
    button.click()

    assert page.evaluate("navigator.clipboard.readText()") == "reconcile retry 20261123T021500Z-3f9a"
    assert button.inner_text() == "Copied"


def test_where_the_clipboard_is_closed_the_command_is_marked(
    context: BrowserContext, files: dict[str, Path]
) -> None:
    """So that Ctrl+C takes it."""
    page = context.new_page()
    page.add_init_script(
        "navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false"
    )
    open_(page, files["held"])
    page.locator(".todo .copy").first.click()

    assert page.evaluate("getSelection().toString()") == page.locator(".todo code").first.inner_text()
    assert page.locator(".todo .copy").first.inner_text() == "Press Ctrl+C"


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(page: Page) -> None:
    """Each control once, from top to bottom, with an outline; and Enter does what a click does."""
    page.evaluate("document.getElementById('next').click()")  # without going there
    order = page.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter(e => !e.disabled && !e.hidden).map(e => e.id || e.textContent)"
    )
    reached = []
    for _ in order:
        page.keyboard.press("Tab")
        outline = page.evaluate(
            "(({ outlineStyle, outlineWidth }) => [outlineStyle, parseFloat(outlineWidth)])(getComputedStyle(document.activeElement))"
        )
        assert outline == ["solid", 3]
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached == order
    assert set(CONTROLS) <= set(reached)

    page.focus("[data-sort=uid] button")
    page.keyboard.press("Enter")
    assert page.locator("[data-sort=uid]").get_attribute("aria-sort") == "ascending"


# Looks


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("night", NIGHTS)
def test_a_page_can_be_read(browser: Browser, files: dict[str, Path], night: str, width: int, theme: str) -> None:
    """Every text against what is behind it, nothing wider than the window, a name for everything, and no word in the console."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    events = noted(page)
    open_(page, files[night])

    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(NAMELESS) == []
    drawn = dict(page.evaluate(PICTURES))
    assert len(drawn) > 4
    assert {name: ratio for name, ratio in drawn.items() if ratio < 3} == {}
    assert page.evaluate(SMALL) == []
    assert [event for event in events if not event.startswith("request: file:")] == []
    # Both themes are themes: the page behind the text is light in one and dark in the other.
    red = int(re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[0])
    assert (red > 200) is (theme == "light")
    page.close()


def test_the_checks_of_a_page_see_what_they_look_for(browser: Browser, tmp_path: Path) -> None:
    """Else the last test would prove nothing."""
    page = browser.new_page()
    show(
        page,
        tmp_path / "bad.html",
        "<body style='background:#fff'><p style='color:#999'>pale</p><button></button><svg></svg>",
    )

    assert len(page.evaluate(CONTRAST)) == 1
    assert len(page.evaluate(NAMELESS)) == 2
    page.close()


def test_headings_go_down_one_by_one(page: Page) -> None:
    """One title, and below it the parts."""
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))")

    assert levels[0] == 1
    assert set(levels[1:]) == {2}


def test_bars_beside_each_other_are_of_one_scale(browser: Browser, files: dict[str, Path]) -> None:
    """However many digits stand behind them."""
    for width in WIDTHS:
        page = browser.new_page(viewport={"width": width, "height": 900})
        open_(page, files["partial"])
        for group in page.locator("ul.rows").all():
            widths = group.evaluate(
                "e => [...e.querySelectorAll('li > svg, .two > svg')].map(s => Math.round(s.getBoundingClientRect().width))"
            )
            assert len(set(widths)) == 1, widths
        page.close()


@pytest.mark.parametrize("night", NIGHTS)
def test_printed_all_of_it_is_there_but_for_the_controls(
    browser: Browser, files: dict[str, Path], night: str
) -> None:
    """In the light theme, on a dark screen too."""
    page = browser.new_page(viewport={"width": 794, "height": 1123}, color_scheme="dark")
    open_(page, files[night])
    sections = page.locator("section:visible").count()
    page.emulate_media(media="print")

    assert sections == page.locator("section").count() == page.locator("section:visible").count()
    assert (
        page.locator("button:visible, select:visible, input:visible").count() == page.locator("th button").count()
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    page.close()


def test_without_javascript_it_is_a_page_to_read(browser: Browser, files: dict[str, Path]) -> None:
    """The verdict, what to do, the pictures and the first hundred changes; and it says what is missing."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(files["partial"].as_uri())

    assert page.locator("#rows tr").count() == 100
    assert "need JavaScript" in page.locator("#plain").inner_text()
    assert page.locator("button:visible, select:visible, input:visible").count() == 0
    assert page.locator("svg.bar:visible").count() > 5
    assert page.locator(".todo code").first.inner_text() == "reconcile retry 20261123T021500Z-3f9a"
    context.close()


# Sizes


@pytest.mark.parametrize(("changes", "most"), [(1_000, 300_000), (10_000, 1_000_000)])
def test_a_page_is_small_and_can_be_used_whole(browser: Browser, tmp_path: Path, changes: int, most: int) -> None:
    """Every change can be found on it."""
    html = big_page(changes)
    page = browser.new_page()
    show(page, tmp_path / "big.html", html)

    assert len(html.encode()) <= most
    assert count(page) == (1, 25, changes)
    page.fill("#text", "novák")
    assert 0 < count(page)[2] < changes
    page.close()

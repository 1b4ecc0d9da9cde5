"""The pages for looking things up say what the code has."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconcile.settings import Settings
from tests.docs.pages import PAGES, ROOT
from tests.docs.reference import PAGE, commands_page


def test_every_command_is_on_its_page_as_it_is() -> None:
    """After a change: `make reference`."""
    assert PAGE.read_text("utf-8") == commands_page()


def _defaults() -> dict[str, Any]:
    """Every key with what it is when nothing is said."""
    tree = msgspec.to_builtins(Settings(), str_keys=True)
    sections = {name: part for name, part in tree.items() if isinstance(part, dict) and name != "fields"}
    return {f"{name}.{key}": value for name, part in sections.items() for key, value in part.items()}


def _said() -> dict[str, Any]:
    """The same as the page has it."""
    rows = re.findall(
        r"^\| `([a-z_]+\.[a-z_]+)` \|([^|]*)\|", (PAGE.parent / "settings.md").read_text("utf-8"), re.M
    )
    return {key: _value(cell.strip().strip("`")) for key, cell in rows}


def _value(cell: str) -> Any:
    if re.fullmatch(r"[\[{\d]?.*[\]}]|\d[\d.]*|true|false", cell):
        return tomllib.loads(f"x = {cell}")["x"]
    return cell


def test_every_setting_is_on_its_page_with_its_default() -> None:
    """A key that is not there is one that nobody finds."""
    found = {key: _plain(value) for key, value in _defaults().items()}

    assert {key: _plain(value) for key, value in _said().items()} == found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if inner is not None} or ""
    if value is None:
        return ""
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_leads_nowhere(page: Path) -> None:
    """Neither to a file nor to a heading; and a heading has one name, where the pages are read and on the site."""
    for target in _targets(page):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.M)
            assert anchor in {_slug(head) for head in heads}, target
            assert page.parent.name != "docs" or anchor in {_slug_of_the_site(head) for head in heads}, target


def _targets(page: Path) -> list[str]:
    """The links of a page into the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def _slug(head: str) -> str:
    return re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")


def _slug_of_the_site(head: str) -> str:
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower())


def test_what_a_page_links_to_is_on_the_site() -> None:
    """A page of docs/, or a file that `make docs` puts beside them."""
    pages = ROOT / "docs"
    outside = {
        str((pages / name).resolve().relative_to(ROOT))
        for page in pages.glob("*.md")
        for name in (target.partition("#")[0] for target in _targets(page))
        if name and (pages / name).resolve().parent != pages
    }
    (beside,) = re.findall(r"cp (\S+) site/.* && cp -R (\S+) site/", (ROOT / "Makefile").read_text("utf-8"))

    assert outside
    assert all((ROOT / name).is_file() and name.startswith(beside) for name in outside), outside


def test_the_site_has_every_page() -> None:
    """Once, in its navigation."""
    navigation = re.findall(r":\s+([a-z0-9-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M)

    assert sorted(navigation) == sorted(page.name for page in ROOT.glob("docs/*.md"))


def test_the_site_asks_nobody_for_anything() -> None:
    """No web fonts, no scripts of others."""
    assert "font: false" in (ROOT / "mkdocs.yml").read_text("utf-8")
    assert json.dumps("analytics") not in (ROOT / "mkdocs.yml").read_text("utf-8")

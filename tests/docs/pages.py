"""What stands in the fences of the pages: commands, programs, settings, and what is printed."""

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["FENCES", "PAGES", "ROOT", "Fence", "fenced"]

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    page for folder in (".", "docs", "benchmarks", "samples/**") for page in ROOT.glob(f"{folder}/*.md")
)
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Fence(NamedTuple):
    """One fenced block: the page, from its root, the language, empty where none is named, and what is in it."""

    page: str
    language: str
    text: str


FENCES = [
    Fence(str(page.relative_to(ROOT)), language, text)
    for page in PAGES
    for _, language, text in _FENCE.findall(page.read_text("utf-8"))
]


def fenced(language: str, page: str = "") -> list[Fence]:
    """The blocks in a language, of one page or of all."""
    return [fence for fence in FENCES if fence.language == language and page in {"", fence.page}]

"""
The switches and the profiles as tables, for the terminal and for the documentation.

Owns how they are laid out. What they are is told by their declarations alone, so that no page can go stale
without a test noticing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, get_args, get_origin, get_type_hints

from reconcile.sandbox.profiles import PROFILES
from reconcile.sandbox.switches import Ask, Switches

__all__ = ["SwitchHelp", "describe", "markdown_table", "profile_table", "text_table"]

_HEADINGS = ("question", "switch", "values", "what it decides", "how sure the default is")


@dataclass(frozen=True, slots=True)
class SwitchHelp:
    """
    One row of the table of switches.
    """

    name: str
    values: tuple[str, ...]
    default: str
    ask: Ask


def describe() -> Iterator[SwitchHelp]:
    """
    Yield every switch in the order of the questions.
    """
    defaults = Switches()
    for name, hint in get_type_hints(Switches, include_extras=True).items():
        if get_origin(hint) is Annotated:
            literal, ask = get_args(hint)
            yield SwitchHelp(name, get_args(literal), getattr(defaults, name), ask)


def markdown_table() -> str:
    """
    Return the switches as a table in Markdown, the default value first.
    """
    return _markdown(_HEADINGS, map(_cells, describe()))


def profile_table() -> str:
    """
    Return the switches that differ between the profiles, as a table in Markdown.
    """
    values = ((row.name, *(getattr(switches, row.name) for switches in PROFILES.values())) for row in describe())
    differing = (tuple(f"`{value}`" for value in row) for row in values if len(set(row[1:])) > 1)
    return _markdown(("switch", *PROFILES), differing)


def text_table() -> str:
    """
    Return the switches for a terminal, the default value first.
    """
    return "".join(
        f"{row.name:24} {'|'.join(row.values)}\n{'':24} {row.ask.question} ({row.ask.number}, {row.ask.confidence})\n"
        for row in describe()
    )


def _markdown(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (headings, ("---",) * len(headings), *rows))


def _cells(row: SwitchHelp) -> tuple[str, ...]:
    values = ", ".join(f"`{value}`" for value in row.values)
    return (row.ask.number, f"`{row.name}`", values, row.ask.question, row.ask.confidence)

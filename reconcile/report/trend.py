"""The past runs as a table for a terminal of any width, with the trend of the drift under it."""

import textwrap
from collections.abc import Callable, Sequence

import click

from reconcile.core.trend import Flapping, Turn, spark
from reconcile.logs import safe
from reconcile.report.words import waiver_words

__all__ = ["render_runs"]

_GAP = 1
_WORDS = {"run", "ended", "did", "yes by"}  # columns that are no numbers
_FLAPPING = 5  # users that are named
_COLORS = {0: "green", 3: "cyan", 4: "yellow", 5: "yellow"}


def render_runs(turns: Sequence[Turn], flapping: Sequence[Flapping], width: int) -> str:
    """Write the runs, newest first. Colours are marks that the terminal layer strips where it must."""
    columns = _chosen(width)
    sizes = [max(len(title), *(len(shown(turn)) for turn in turns)) for title, shown in columns]
    lines = [click.style(_row([(title, title) for title, _ in columns], sizes), bold=True)]
    for turn in turns:
        line = _row([(title, shown(turn)) for title, shown in columns], sizes)
        words = safe(turn.headline or "", 300)
        room = width - len(line) - 2
        line = f"{line}  {_cut(words, room)}" if room >= 30 and words else line
        lines.append(click.style(line.rstrip(), fg=_color(turn)))
    if any(turn.since for turn in turns):
        lines.append("* read only what had changed (--since)")
    lines += [line for turn in turns for line in _let_pass(turn, width)]
    lines += ["", *_trend(turns, width)]
    if flapping:
        lines += textwrap.wrap(_flapping(flapping), width, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def _let_pass(turn: Turn, width: int) -> list[str]:
    """Say who released or accepted what. That nobody was asked is no news of a night; it stands in the report."""
    unusual = [waiver for waiver in turn.waivers if waiver.what not in {"yes", "answered"}]
    return [
        line
        for words in waiver_words(unusual)
        for line in textwrap.wrap(f"{safe(turn.run_id, 21)}: {safe(words, 400)}", width, subsequent_indent="  ")
    ]


def _chosen(width: int) -> list[tuple[str, Callable[[Turn], str]]]:
    """Give the columns that have room: the id and how it ended always, the rest in the order of their worth."""
    # With the gaps: 22 + 15 + 5, then 7 each.
    worth: list[tuple[str, Callable[[Turn], str], int]] = [
        ("drift", lambda turn: _n(turn.drift), 7),
        ("failed", lambda turn: _n(turn.failed), 7),
        ("took", lambda turn: _took(turn.seconds), 7),
        ("made", lambda turn: _n(turn.made), 7),
        ("held", lambda turn: _n(turn.held), 6),
        ("did", lambda turn: safe(turn.command, 7), 8),
        ("writes", lambda turn: _n(turn.writes), 7),
        ("plan", lambda turn: _n(turn.planned), 7),
        ("yes by", _yes_by, 17),
    ]
    room, chosen = width - 42, set()
    for title, _, size in worth:
        if room < size:
            break
        chosen.add(title)
        room -= size
    order = ("did", "drift", "plan", "held", "made", "failed", "writes", "took", "yes by")
    shown = {title: show for title, show, _ in worth}
    ends: list[tuple[str, Callable[[Turn], str]]] = [
        ("run", lambda turn: safe(turn.run_id, 21)),
        ("ended", lambda turn: safe(turn.verdict or turn.state.partition(" ")[0], 14) + "*" * bool(turn.since)),
        ("exit", lambda turn: "" if turn.exit_code is None else str(turn.exit_code)),
    ]
    # The narrowest terminals have room for two.
    return [*ends[: 2 if width < 42 else 3], *((title, shown[title]) for title in order if title in chosen)]


def _row(cells: Sequence[tuple[str, str]], sizes: Sequence[int]) -> str:
    """Put the cells of a row, each with its title, at their places: words at the left, numbers at the right."""
    texts = [
        cell.ljust(size) if title in _WORDS else cell.rjust(size)
        for (title, cell), size in zip(cells, sizes, strict=True)
    ]
    return (" " * _GAP).join(texts).rstrip()


def _trend(turns: Sequence[Turn], width: int) -> list[str]:
    """Say how drift and duration moved, the oldest run at the left."""
    lines = []
    for title, values, say in (
        ("drift", [turn.drift for turn in turns], _n),
        ("failed", [turn.failed for turn in turns], _n),
        ("took", [turn.seconds for turn in turns], _took),
    ):
        old_to_new = values[::-1][-max(width - 40, 5) :]
        known = [value for value in old_to_new if value is not None]
        if known:
            moved = f"{title:<7}{spark(old_to_new)}  {say(known[0])} -> {say(known[-1])}"
            most = f", at most {say(max(known))}"
            lines.append(moved + (most if len(moved + most) <= width else ""))
    return lines


def _flapping(flapping: Sequence[Flapping]) -> str:
    users = list(dict.fromkeys(flap.uid for flap in flapping))
    shown = ", ".join(
        f"{safe(flap.uid)} ({safe(flap.field, 40)}, {flap.runs} times)" for flap in flapping[:_FLAPPING]
    )
    more = f" and {len(flapping) - _FLAPPING} more" if len(flapping) > _FLAPPING else ""
    number = "1 user flaps" if len(users) == 1 else f"{len(users)} users flap"
    return f"{number}: the same value was written again and again: {shown}{more}. See: reconcile explain UID"


def _yes_by(turn: Turn) -> str:
    """Give the login that agreed to the writes, without its number."""
    by = next((waiver.by for waiver in turn.waivers if waiver.what in {"yes", "answered"}), "")
    return safe(by.partition(" (")[0], 16)


def _color(turn: Turn) -> str | None:
    return (
        "red"
        if turn.exit_code not in {None, *_COLORS}
        else _COLORS.get(-1 if turn.exit_code is None else turn.exit_code)
    )


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _n(number: float | None) -> str:
    """Write a count in at most six characters; a dash where it is not known."""
    if number is None:
        return "-"
    for floor, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (100_000, "k")):
        if number >= floor:
            scaled = number / (1_000 if unit == "k" else floor)
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{number:,.0f}"


def _took(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"

"""What `init` asks on a terminal: an answer is checked at once, and Enter takes what is proposed."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import click

from reconcile.cli.ending import say
from reconcile.logs import safe
from reconcile.proposal import Proposal
from reconcile.scaffold import Draft, Wanted, fitted, tables_in
from reconcile.settings import Column

__all__ = ["about_the_source", "complete"]

_NONE = "-"
_FIELDS = ("uid", "name", "avatar", "link", "statusMessage", "tags")
_NEEDED = {"uid", "name"}


def about_the_source(wanted: Wanted, environ: Mapping[str, str]) -> Wanted:
    """Ask for the export, and for its table where it is a database with more than one."""
    location = wanted.location or _answer("The export, a file or a database URL", "users.csv")
    found = replace(wanted, location=location)
    if wanted.query or wanted.table:
        return found
    tables, likely = tables_in(location, environ)
    if len(tables) < 2:
        return found
    say(f"The database has the tables {safe(', '.join(tables), 600)}.", err=True)
    return replace(found, table=_one_of("Which one has the users", tables, likely, may_be_none=False))


def complete(draft: Draft, wanted: Wanted) -> Draft:
    """Show what is proposed and ask for the rest: corrections, the role, metadata, the app."""
    assert draft.sample is not None  # noqa: S101 - a source was named
    columns = dict(draft.columns)
    _show(draft)
    if not columns.keys() >= _NEEDED or not click.confirm("Take this mapping?", default=True, err=True):
        columns |= _corrected(draft)
        columns = {name: column for name, column in columns.items() if column.column != ""}
    if "role" not in columns:
        likely = draft.proposal.role
        hint = f' ("{safe(likely)}" looks like one)' if likely else ""
        words = f"Which column has the role{hint}? It decides what a user may do"
        role = _one_of(words, draft.sample.columns, "", may_be_none=True)
        columns |= {"role": Column(role)} if role else {}
    columns |= _metadata(draft, columns)
    app_id, region = draft.app_id, draft.region
    if not wanted.app_id:
        app_id = _answer("The id of your CometChat app, if you have it at hand", app_id)
    if not wanted.region:
        region = _one_of("Its region: us, eu or in", ("us", "eu", "in"), region, may_be_none=False)
    return replace(draft, columns=columns, app_id=app_id, region=region)


def _show(draft: Draft) -> None:
    """Print each column with its first values and what it would become."""
    assert draft.sample is not None  # noqa: S101 - as above
    become = {name: field for field, column in draft.columns.items() for name in column.made_of.columns}
    width = min(max((len(safe(name)) for name in draft.sample.columns), default=0), 24)
    for name in draft.sample.columns:
        seen = ", ".join(safe(text, 20) for text in draft.proposal.examples.get(name, ())[:2])
        say(
            f"  {safe(name, 24):<{width}}  {seen:<44}  {become.get(name, _word(name, draft.proposal))}".rstrip(),
            err=True,
        )
    for note in draft.proposal.notes:
        say(f"Look: {safe(note, 400)}", err=True)


def _word(name: str, proposal: Proposal) -> str:
    return "role?" if name == proposal.role else "" if name not in proposal.metadata else "metadata?"


def _corrected(draft: Draft) -> dict[str, Column]:
    """Ask field by field; a field that is to have no column is given an empty one."""
    assert draft.sample is not None  # noqa: S101 - as above
    found = {}
    for field in _FIELDS:
        proposed = draft.columns.get(field)
        if proposed is not None and proposed.column is None:
            # A template; to change it is for the file.
            found[field] = proposed
            continue
        default = proposed.column if proposed and proposed.column else ""
        answer = _one_of(f"{field}: which column", draft.sample.columns, default, may_be_none=field not in _NEEDED)
        found[field] = fitted(field, Column(answer), draft.sample, draft.proposal) if answer else Column("")
    return found


def _metadata(draft: Draft, columns: Mapping[str, Column]) -> dict[str, Column]:
    taken = {name for column in columns.values() for name in column.made_of.columns}
    offered = {key: column for key, column in draft.proposal.metadata.items() if key not in taken}
    if not offered:
        return {}
    say(f"Left are {safe(', '.join(offered), 600)}.", err=True)
    while True:
        answer = _answer(
            "Which of them are metadata, with commas between? Other users may be able to see it", _NONE
        )
        wanted = [] if answer == _NONE else [part.strip() for part in answer.split(",") if part.strip()]
        unknown = [name for name in wanted if name not in offered]
        if not unknown:
            return {_field(name): offered[name] for name in wanted}
        say(f"There is no {safe(', '.join(unknown), 200)} among them.", err=True)


def _field(column: str) -> str:
    from reconcile.core.metadata import metadata_field  # noqa: PLC0415 - beside its one use

    return metadata_field((column,))


def _one_of(words: str, known: tuple[str, ...], default: str, *, may_be_none: bool) -> str:
    """Ask until the answer is one of these; nothing, where that may be, is an empty text."""
    while True:
        answer = _answer(words, default or (_NONE if may_be_none else ""))
        if answer in known:
            return answer
        if may_be_none and answer in {_NONE, ""}:
            return ""
        near = get_close_matches(answer, known, n=1)
        hint = f"; did you mean {safe(near[0])}?" if near else ""
        say(f"There is no {safe(answer) or 'such one'}{hint}", err=True)


def _answer(words: str, default: str) -> str:
    # The default is not click's own to show: a name from outside may hold anything.
    shown = f" [{safe(default)}]" if default else ""
    answer: Any = click.prompt(f"{words}{shown}", default="", show_default=False, err=True)
    return str(answer).strip() or default

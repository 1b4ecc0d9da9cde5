"""The mapping as people declare it: the `[fields]` table and `--map`, checked when the settings are loaded."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

import msgspec

from reconcile.core.metadata import METADATA_PREFIX, Path, metadata_field, metadata_path
from reconcile.settings import MAPPABLE, Column, Fields

__all__ = ["Problems", "objections_to", "read_fields", "unknown", "words_of"]

Problems = list[tuple[str, str]]

_ENTRY_KEYS = frozenset(Column.__struct_fields__) - {"type"}  # a metadata key may well be called `type`
_ENTRY_REMEDY = (
    'name a column, or write { column = "..." }, { template = "{first} {last}" } or { constant = "..." }; '
    'beside it: transform = ["strip", "lower", "hash-suffix"], separator, type'
)


def read_fields(given: Any, maps: tuple[str, ...], problems: Problems) -> Fields:
    """Make the mapping of the `[fields]` table and the pairs of `--map`; what is wrong goes to `problems`."""
    table = dict(given) if isinstance(given, dict) else {}
    if given is not None and not isinstance(given, dict):
        problems.append(("[fields] is not a table", "write it as [fields] with keys below"))
    metadata = table.pop("metadata", {})
    if not isinstance(metadata, dict):
        problems.append(("[fields.metadata] is not a table", "write it as [fields.metadata] with keys below"))
        metadata = {}
    wanted = {**table, **{metadata_field(path): entry for path, entry in _leaves(metadata, ())}}
    for pair in maps:
        name, equals, column = (part.strip() for part in pair.partition("="))
        if not equals or not name or not column:
            problems.append((f"--map {pair} is not of the form field=column", "--map name=full_name"))
        else:
            wanted[name] = column
    read = {name: _column(name, value, problems) for name, value in wanted.items()}
    columns = {name: column for name, column in read.items() if column}
    problems += objections_to(columns)
    return Fields(columns, is_given=given is not None)


def objections_to(columns: dict[str, Column]) -> Problems:
    """Say what is wrong with a mapping whose entries are well formed, each with its remedy."""
    return [
        *(problem for name, column in columns.items() for problem in _objections(name, column)),
        *_overlaps(columns),
    ]


def _leaves(table: dict[str, Any], above: Path) -> Iterator[tuple[Path, Any]]:
    """Give the entries below [fields.metadata]; a table that is no entry itself is an inner object."""
    for key, value in table.items():
        if isinstance(value, dict) and value and not _ENTRY_KEYS & value.keys():
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _column(name: str, value: Any, problems: Problems) -> Column | None:
    if unmapped := _unmapped(name):
        problems += unmapped
        return None
    try:
        return Column(value) if isinstance(value, str) else msgspec.convert(value, Column)
    except (msgspec.ValidationError, ValueError) as error:
        problems.append((f"fields.{name}: {words_of(error)}", _ENTRY_REMEDY))
        return None


def _unmapped(name: str) -> Problems:
    if name in MAPPABLE or name.startswith(METADATA_PREFIX):
        return []
    return [unknown(f"fields.{name}", [f"fields.{known}" for known in (*MAPPABLE, "metadata")])]


def _objections(name: str, column: Column) -> Problems:
    problems = _unmapped(name)
    try:
        path = metadata_path(name)
    except ValueError as error:
        return [(f"fields.{name}: {words_of(error)}", _ENTRY_REMEDY)]
    if path and path[0] == "@private":
        problems.append(
            (f"{name} is not managed", "take it out of [fields]: it belongs to the service's extensions")
        )
    if name == "uid" and not column.made_of.columns:
        problems.append(("fields.uid is the same for every user", "name the column that tells users apart"))
    if column.type != "text" and path is None:
        problems.append((f"fields.{name} has a type", "types are for metadata; leave it out"))
    return problems


def _overlaps(names: Iterable[str]) -> Problems:
    """An object and a value in it cannot both be managed: each would write over the other."""
    paths = [path for path in _paths(names) if path]
    return [
        (f"{metadata_field(inner)} lies within {metadata_field(outer)}", "map the object, or the values in it")
        for outer in paths
        for inner in paths
        if len(inner) > len(outer) and inner[: len(outer)] == outer
    ]


def _paths(names: Iterable[str]) -> Iterator[Path | None]:
    for name in names:
        with suppress(ValueError):
            yield metadata_path(name)


def unknown(name: str, known: list[str], kind: str = "") -> tuple[str, str]:
    """Say that there is no such setting, and which is nearest."""
    near = get_close_matches(name, known, n=1)
    return (
        f"unknown {kind or 'setting '}{name}",
        f"did you mean {near[0]}?" if near else "see: reconcile init",
    )


def words_of(error: Exception) -> str:
    """Give an error's words without the place in a value that nobody wrote like that."""
    return str(error).split(" - at `", maxsplit=1)[0]

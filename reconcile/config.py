"""
Settings from where people keep them: flag > environment > file > default.

Every problem is collected and told at once, each with its remedy; an unknown key comes with the nearest
known one.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any

import msgspec

from reconcile.errors import SettingsError
from reconcile.fields import Problems, read_fields, unknown, words_of
from reconcile.keys import ELSEWHERE, expand, open_addresses, remember, remember_location, with_addresses
from reconcile.objections import impossible, impossible_addresses
from reconcile.settings import MAPPABLE, Secret, Settings
from reconcile.trust import distrusted, is_open_to_all
from reconcile.variables import misspelt

__all__ = ["Flags", "environment", "known_variables", "load"]

_SECTIONS: dict[str, type[msgspec.Struct]] = {
    info.name: info.type
    for info in msgspec.structs.fields(Settings)
    if info.name not in {"file", "fields"} and isinstance(info.type, type)
}
_COMETCHAT_VARIABLES = {
    "COMETCHAT_APP_ID": ("cometchat", "app_id"),
    "COMETCHAT_REGION": ("cometchat", "region"),
    "COMETCHAT_BASE_URL": ("cometchat", "base_url"),
    "COMETCHAT_API_KEY_FILE": ("cometchat", "api_key_file"),
}
_CASED = {name.lower(): name for name in MAPPABLE}  # a variable's name has lost its case
_PATHS = (
    ("source", "location"),
    ("run", "dir"),
    ("run", "metrics"),
    ("cometchat", "api_key_file"),
    ("cometchat", "ca_file"),
)


@dataclass(frozen=True, slots=True)
class Flags:
    """What stood on the command line: `values` by (section, key), `sets` and `maps` as written."""

    config: str | None = None
    values: Mapping[tuple[str, str], str] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()


Tree = dict[str, Any]


def load(flags: Flags, environ: Mapping[str, str]) -> Settings:
    """
    Bring all settings together.

    Raises: SettingsError with every problem that was found.
    """
    problems: Problems = []
    remember(environ.get("COMETCHAT_API_KEY", ""))
    for name, right in misspelt(environ, known_variables()):
        problems.append((f"the variable {name} is no setting", f"did you mean {right}? else: unset {name}"))
    named = flags.config or environ.get("RECONCILE_CONFIG")
    path = named or _default_file()
    tree = _read_file(path, problems, named=bool(named)) if path else {}
    problems += open_addresses(tree, str(path))
    _overlay(tree, _from_environment(environ))
    for (section, key), value in flags.values.items():
        _put(tree, (section, *key.split(".")), value)
    for pair in flags.sets:
        given = _from_pair(pair, problems)
        problems += open_addresses(given, "--set")
        _overlay(tree, given)
    settings = _build(tree, flags.maps, environ, problems)
    problems += impossible(settings)
    problems += impossible_addresses(settings, environ)
    if problems:
        raise SettingsError(problems)
    return msgspec.structs.replace(settings, file=path or "")


def known_variables() -> list[str]:
    """Return the name of every variable that sets something; tables whose keys are free have more."""
    named = [f"RECONCILE_{name.upper()}__{key}" for name, kind in _SECTIONS.items() for key in _keys(kind)]
    named += [f"RECONCILE_FIELDS__{name.upper()}" for name in MAPPABLE]
    return [*named, *_COMETCHAT_VARIABLES, "COMETCHAT_API_KEY", "RECONCILE_CONFIG"]


def _keys(kind: Any) -> list[str]:
    """Return the keys of a section, and of the tables in it, as variables name them."""
    inner = {name: _keys(of) for name, of in _kinds(kind).items()}
    return [
        key for name, below in inner.items() for key in (name.upper(), *(f"{name.upper()}__{k}" for k in below))
    ]


def _default_file() -> str | None:
    return "reconcile.toml" if Path("reconcile.toml").is_file() else None


def _distrust(path: Path, *, named: bool) -> tuple[str, str] | None:
    """
    Say why a settings file is not read, with the remedy: it says where the API key is sent.

    A file that somebody named may be of another user, who keeps the settings of this job.
    """
    found = distrusted(path)
    if found is None or (named and not is_open_to_all(path)):
        return None
    mend = found[1] if is_open_to_all(path) else f"name it: --config {path}"
    return f"the settings file {path} is not trusted: {found[0]}", f"look at what is in it, then: {mend}"


def _read_file(path: str, problems: Problems, *, named: bool) -> Tree:
    try:
        if problem := _distrust(Path(path), named=named):
            problems.append(problem)
            return {}
        tree = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        problems.append(
            (
                f"the settings file {path} cannot be read: {error.strerror}",
                "name the file: --config FILE; or write one: reconcile init",
            )
        )
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append((f"{path} is not valid TOML: {error}", "mend that line; strings stand in quotes"))
        return {}
    base = Path(path).parent
    for section, key in _PATHS:
        value = tree.get(section, {}).get(key) if isinstance(tree.get(section), dict) else None
        if isinstance(value, str) and value not in {"", "-"} and not ELSEWHERE.search(value):
            tree[section][key] = str(base / value)
    # The default run directory stands beside the file too.
    if isinstance(tree.setdefault("run", {}), dict):
        tree["run"].setdefault("dir", str(base / "runs"))
    return tree


def _from_environment(environ: Mapping[str, str]) -> Tree:
    tree: Tree = {}
    for name, place in _COMETCHAT_VARIABLES.items():
        if environ.get(name):
            _put(tree, place, environ[name])
    for name, value in environ.items():
        if name.startswith("RECONCILE_") and "__" in name:
            keys = tuple(name.removeprefix("RECONCILE_").lower().split("__"))
            if keys[0] == "fields" and len(keys) == 2:
                keys = ("fields", _CASED.get(keys[1], keys[1]))
            _put(tree, keys, _value_of(keys, value))
    return tree


def _from_pair(pair: str, problems: Problems) -> Tree:
    name, equals, value = pair.partition("=")
    keys = tuple(part.strip() for part in name.split("."))
    if not equals or len(keys) < 2 or not all(keys):
        # What follows the sign may be the key, given where no key belongs.
        problems.append((f"--set {name} is not of the form section.key=value", "--set policy.empty=keep"))
        return {}
    tree: Tree = {}
    _put(tree, keys, _value_of(keys, value.strip()))
    return tree


def _value_of(keys: tuple[str, ...], text: str) -> Any:
    """Read a value as its setting wants it: a text stays as it was written, with or without quotes."""
    value = _toml_value(text)
    kind: Any = _SECTIONS.get(keys[0])
    for key in keys[1:]:
        kind = _kinds(kind).get(key)
    return text if kind is str and not isinstance(value, str) else value


def _kinds(kind: Any) -> dict[str, Any]:
    """Give the type of each key of a table that is a struct."""
    is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    return {info.name: info.type for info in msgspec.structs.fields(kind)} if is_struct else {}


def _toml_value(text: str) -> Any:
    """Read a value as TOML where it is some, else as the text that it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(tree: Tree, keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        inner = tree.setdefault(key, {})
        if not isinstance(inner, dict):
            inner = tree[key] = {}
        tree = inner
    tree[keys[-1]] = value


def _overlay(tree: Tree, upper: Tree) -> None:
    for key, value in upper.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _overlay(tree[key], value)
        else:
            tree[key] = value


def _build(tree: Tree, maps: tuple[str, ...], environ: Mapping[str, str], problems: Problems) -> Settings:
    known = [*_SECTIONS, "fields"]
    for section in tree:
        if section not in known:
            problems.append(unknown(section, known, "section "))
    parts: dict[str, Any] = {
        name: _section(name, kind, tree.get(name, {}), problems) for name, kind in _SECTIONS.items()
    }
    location = expand("source.location", parts["source"].location, environ, problems)
    remember_location(location)
    parts["source"] = msgspec.structs.replace(parts["source"], location=location)
    parts["notify"] = with_addresses(parts["notify"], environ, problems)
    parts["fields"] = read_fields(tree.get("fields"), maps, problems)
    return Settings(**parts)


def _section(name: str, kind: type[msgspec.Struct], given: Any, problems: Problems) -> Any:
    if not isinstance(given, dict):
        problems.append((f"[{name}] is not a table", f"write it as [{name}] with keys below"))
        return kind()
    infos = {info.name: info for info in msgspec.structs.fields(kind)}
    values: Tree = {}
    for key, value in given.items():
        if key not in infos:
            problems.append(unknown(f"{name}.{key}", [f"{name}.{known}" for known in infos]))
            continue
        strangers = _strangers(f"{name}.{key}", value, infos[key].default)
        if strangers:
            problems += strangers
            continue
        try:
            values[key] = _convert(value, infos[key])
        except (msgspec.ValidationError, ValueError) as error:
            problems.append((f"{name}.{key}: {words_of(error)}", f"its default is {_shown(infos[key].default)}"))
    return kind(**values)


def _strangers(path: str, value: Any, default: Any) -> Problems:
    """Name the keys of an inner table that do not exist."""
    if not isinstance(value, dict) or not isinstance(default, msgspec.Struct):
        return []
    known = default.__struct_fields__
    return [unknown(f"{path}.{key}", [f"{path}.{name}" for name in known]) for key in value if key not in known]


def _convert(value: Any, info: msgspec.structs.FieldInfo) -> Any:
    # A guard that names one of its numbers keeps the others.
    if isinstance(value, dict) and isinstance(info.default, msgspec.Struct):
        kinds = _kinds(info.type)
        given = {key: _as_text(inner) if kinds[key] is str else inner for key, inner in value.items()}
        value = {**msgspec.to_builtins(info.default), **given}
    if info.type is str:
        value = _as_text(value)
    if info.type == tuple[Secret, ...] and isinstance(value, str):
        value = [value]
    return msgspec.convert(value, info.type, strict=not isinstance(value, str), dec_hook=_hidden)


def _hidden(kind: type, value: Any) -> Any:
    if kind is not Secret or not isinstance(value, str):
        raise ValueError("an address is a text")
    return Secret(value)


def _as_text(value: Any) -> Any:
    """Give a number or a time that stands where a text is wanted as the text that it was."""
    if isinstance(value, bool | int | float):
        return str(value)
    return value.isoformat() if isinstance(value, date | time) else value


def _shown(default: Any) -> str:
    value = msgspec.to_builtins(default) if isinstance(default, msgspec.Struct) else default
    return msgspec.json.encode(value).decode()


def environment() -> Mapping[str, str]:
    """The process's environment: the one place that reads it."""
    return os.environ

"""
Settings from where people keep them: flag > environment > file > default.

Every problem is collected and told at once, each with its remedy; an unknown key comes with the nearest
known one.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from reconcile.core.watermark import is_value
from reconcile.errors import SettingsError
from reconcile.fields import Problems, read_fields, unknown, words_of
from reconcile.logs import remember_secret
from reconcile.settings import MAPPABLE, MOST_PARTITIONS, Notify, Secret, Settings, Since, seconds_of

__all__ = [
    "Flags",
    "api_key",
    "environment",
    "expand",
    "load",
    "require_app",
    "require_since",
    "require_source",
]

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
_ELSEWHERE = re.compile(r"://|^\$\{\w+\}")  # a location that is no path beside the file
_VARIABLE = re.compile(r"\$\{\w+\}")
_ADDRESSES = frozenset(Notify.__struct_fields__) - {"when"}
_UNQUOTED = re.compile(r"[@:/?#\[\]\s]")
_SHORTEST_SECRET, _SHORTEST_TOKEN = 8, 16
_LOOKS_LIKE_A_KEY = re.compile(r"[0-9A-Fa-f]{32,}")
_NO_URL = re.compile(r"[\s\x00-\x1f\x7f\\?#]")  # what a base URL has no place for


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
    _remember(environ.get("COMETCHAT_API_KEY", ""))
    path = flags.config or environ.get("RECONCILE_CONFIG") or _default_file()
    tree = _read_file(path, problems) if path else {}
    problems += _open_addresses(tree, str(path))
    _overlay(tree, _from_environment(environ))
    for (section, key), value in flags.values.items():
        _put(tree, (section, *key.split(".")), value)
    for pair in flags.sets:
        given = _from_pair(pair, problems)
        problems += _open_addresses(given, "--set")
        _overlay(tree, given)
    settings = _build(tree, flags.maps, environ, problems)
    problems += _impossible(settings)
    problems += _impossible_addresses(settings, environ)
    if problems:
        raise SettingsError(problems)
    return msgspec.structs.replace(settings, file=path or "")


def require_app(settings: Settings) -> Problems:
    """Say what is missing to reach the app; empty when nothing is."""
    app, problems = settings.cometchat, []
    if not app.app_id:
        problems.append(("cometchat.app_id is not set", "set it in the file, or export COMETCHAT_APP_ID"))
    if not app.region and not app.base_url:
        problems.append(("cometchat.region is not set", "one of us, eu, in; or export COMETCHAT_REGION"))
    return problems


def require_source(settings: Settings) -> Problems:
    """Say what is missing to read the source; empty when nothing is."""
    source = settings.source
    if not source.location:
        return [("source.location is not set", "name the export: --source users.csv, or [source] location")]
    if source.is_database and not source.query and not source.table:
        return [("a database needs a query or a table", 'set source.query = "select ..." or source.table')]
    if not source.is_database and (source.query or source.table):
        return [("source.query goes with a database URL, not with a file", "remove it, or name a database")]
    if not source.is_database and source.since.column:
        return [
            (
                "source.since goes with a database URL: a file is read whole anyway",
                "take it out of [source], or name a database",
            )
        ]
    return []


def require_since(settings: Settings, asked: str | None, *, reads: bool, expects_rows: bool) -> Problems:
    """
    Say what is missing to read only what changed, since `asked` where that is not empty; nothing where it is None.

    `reads` is whether the run reads its source at all.
    """
    source = settings.source
    problems: Problems = []
    if asked is None:
        return problems
    if not reads:
        problems.append(("--since goes with a plan that is made now", "leave it out, or leave out RUN"))
    if not source.is_database:
        problems.append(("--since goes with a database: a file is read whole anyway", "leave the flag out"))
    elif not source.since.column:
        problems.append(
            ("--since needs a column that says when a row changed", 'set source.since = { column = "updated_at" }')
        )
    if asked and not is_value(asked):
        problems.append((f"--since {asked} is neither a time nor a number", "for example 2026-11-27T00:00:00Z"))
    if expects_rows:
        problems.append(
            ("--expect-rows is of the whole export, and --since reads a part", "leave one of them out")
        )
    return problems


def api_key(settings: Settings, environ: Mapping[str, str]) -> Secret:
    """
    Find the key: the named file, systemd's credential, then the environment.

    Raises: SettingsError when there is none, its file cannot be read, or it stands in another setting too.
    """
    text = _key_text(settings, environ)
    # Settings are written down with every run.
    written = msgspec.json.encode(msgspec.structs.replace(settings, notify=Notify())).decode()
    if len(text) >= _SHORTEST_SECRET and text in written:
        raise SettingsError(
            "the API key stands in a setting that is no place for it",
            hint="take it out of flags and settings file, make a new key, and export that as COMETCHAT_API_KEY",
        )
    return Secret(text)


def _key_text(settings: Settings, environ: Mapping[str, str]) -> str:
    named = settings.cometchat.api_key_file or environ.get("COMETCHAT_API_KEY_FILE", "")
    credential = Path(environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / "apikey"
    if named or credential.is_file():
        file = Path(named) if named else credential
        if _LOOKS_LIKE_A_KEY.fullmatch(named):
            raise SettingsError(
                "what names the API key file looks like a key itself",
                hint="write the key to a file and name that, or export COMETCHAT_API_KEY",
            )
        try:
            text = file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a text file"
            raise SettingsError(
                f"the API key file {file} cannot be read: {reason}",
                hint="name a text file with the key alone that this user may read: --api-key-file FILE",
            ) from None
    else:
        text = environ.get("COMETCHAT_API_KEY", "").strip()
    if not text:
        raise SettingsError("there is no API key", hint="export COMETCHAT_API_KEY, or give --api-key-file FILE")
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise SettingsError(
            "the API key has characters that no key has",
            hint="copy it again from the CometChat dashboard, whole and as one line",
        )
    return text


def _default_file() -> str | None:
    return "reconcile.toml" if Path("reconcile.toml").is_file() else None


def _read_file(path: str, problems: Problems) -> Tree:
    try:
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
        if isinstance(value, str) and value not in {"", "-"} and not _ELSEWHERE.search(value):
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
    parts["source"] = msgspec.structs.replace(parts["source"], location=location)
    parts["notify"] = _with_addresses(parts["notify"], environ, problems)
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


def expand(key: str, location: str, environ: Mapping[str, str], problems: Problems) -> str:
    """Put environment values in the place of ${NAME} in a URL, or of the whole of it."""
    if not _ELSEWHERE.search(location):
        return location

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            problems.append(
                (
                    f"{key} names ${{{match[1]}}}, which is not set",
                    f"export {match[1]} before the command",
                )
            )
        text = environ.get(match[1], "")
        _remember(text)
        # A password that could not stand in a URL as it is was not quoted for one.
        is_password = location[: match.start()].endswith(":") and location.startswith("@", match.end())
        return quote(text, safe="") if is_password and _UNQUOTED.search(text) else text

    return re.sub(r"\$\{(\w+)\}", value, location)


def _with_addresses(notify: Notify, environ: Mapping[str, str], problems: Problems) -> Notify:
    """Put environment values into the addresses of [notify]; one for Apprise may hold several, an empty one is none."""
    single: dict[str, Secret] = {}
    several: list[Secret] = []
    for name, address in notify.addresses:
        text = expand(f"notify.{name}", address.reveal(), environ, problems).strip()
        _remember_address(text)
        if name == "apprise":
            several += map(Secret, text.split())
        elif text:
            single[name] = Secret(text)
    return Notify(when=notify.when, apprise=tuple(several), **single)


def _remember_address(text: str) -> None:
    """Have the address taken out of what is said, and what looks like a token in it; a plain word stays."""
    _remember(text)
    for part in re.split(r"[/?&=@:\s]+", text):
        if len(part) >= _SHORTEST_TOKEN and re.search(r"\d", part):
            _remember(part)


def _remember(secret: str) -> None:
    """Have a secret taken out of every error from here on; a plain word would be missed in every sentence."""
    if len(secret) >= _SHORTEST_SECRET and not secret.isalpha():
        remember_secret(Secret(secret))


def _impossible(settings: Settings) -> Problems:
    """Values that are well formed and make no sense."""
    app, limits = settings.cometchat, settings.limits
    problems: Problems = []

    def check(holds: bool, what: str, remedy: str) -> None:  # noqa: FBT001 - the condition is the point
        if not holds:
            problems.append((what, remedy))

    app_ok = re.fullmatch(r"[A-Za-z0-9_-]*", app.app_id) is not None
    check(
        app_ok,
        "cometchat.app_id has other characters than letters, digits, _ and -",
        "copy it again from the CometChat dashboard",
    )
    problems += _url_problem("cometchat.base_url", app.base_url, "send the key")
    check(
        0 < limits.share <= 1,
        "limits.share is not between 0 and 1",
        "for example --set limits.share=0.8, which leaves a fifth to the app",
    )
    for name in ("core_per_minute", "standard_per_minute", "concurrency"):
        value = getattr(limits, name)
        check(value == "auto" or value > 0, f"limits.{name} is not positive", 'a number above 0, or "auto"')
    for path, number in _numbers("guards", msgspec.to_builtins(settings.guards)):
        check(isfinite(number) and number >= 0, f"{path} is not a number from 0 up", "a large one lets all pass")
    check(settings.run.keep > 0, "run.keep is not positive", "for example --set run.keep=30")
    check(
        0 <= settings.run.partitions <= MOST_PARTITIONS,
        f"run.partitions is not a number from 0 to {MOST_PARTITIONS}",
        "leave it out, and the machine's memory says it",
    )
    check(
        settings.run.engine != "dask" or "://" in settings.run.scheduler,
        "run.engine dask goes with run.scheduler",
        "name its address: --scheduler tcp://127.0.0.1:8786",
    )
    check(
        not settings.run.store or "://" in settings.run.store,
        "run.store is not a URL",
        "for example s3://bucket/folder; without it the partitions are in the run's folder",
    )
    for name, address in (("store", settings.run.store), ("scheduler", settings.run.scheduler)):
        check(
            not re.search(r"://[^/@]*:[^/@]*@", address),
            f"run.{name} has a password in it",
            "its keys belong into the environment, where the library finds them",
        )
    check(
        len(settings.source.delimiter) <= 1,
        "source.delimiter is not one character",
        "for example --set 'source.delimiter=;'",
    )
    problems += _since_problems(settings.source.since)
    for name, text in (
        ("source.timeout", settings.source.timeout),
        ("policy.plan_max_age", settings.policy.plan_max_age),
        ("limits.deadline", limits.deadline),
    ):
        problems += _refusal(lambda text=text: seconds_of(text), name)  # type: ignore[misc]
    return problems


def _since_problems(since: Since) -> Problems:
    problems = _refusal(lambda: since.step, "source.since.overlap")
    if not problems and isinstance(since.step, timedelta) and since.step < timedelta(seconds=1):
        problems.append(("source.since.overlap is shorter than a second", 'longer than any transaction: "10m"'))
    full_every = _refusal(lambda: seconds_of(since.full_every), "source.since.full_every")
    if not full_every and not seconds_of(since.full_every):
        full_every = [("source.since.full_every is no duration", 'how often all is read, for example "7d"')]
    problems += full_every
    if since.query and not since.column:
        problems.append(("source.since.query goes with source.since.column", "name the column that it compares"))
    if since.query and len(since.parts) == 1:
        problems.append(("source.since.query has no :since in it", "... where updated_at >= :since"))
    return problems


def _numbers(path: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _numbers(f"{path}.{key}", inner)]
    return [(path, value)] if isinstance(value, int | float) else []


def _refusal(read: Callable[[], object], name: str) -> Problems:
    try:
        read()
    except ValueError as error:
        return [(f"{name}: {error}", 'for example "2h", or "none"')]
    return []


def _url_problem(key: str, url: str, act: str, *, may_ask: bool = False) -> Problems:
    """Say what is wrong with a URL; `act` is what would be unprotected. `may_ask` allows a query string."""
    if not url:
        return []
    remedy = "https://..., or http:// to this machine"
    parts = "scheme, host, port, path and query" if may_ask else "scheme, host, port and path"
    if _NO_URL.search(url.replace("?", "", 1) if may_ask else url):
        return [(f"{key} is more than {parts}", remedy)]
    try:
        split = urlsplit(url)
        host = split.hostname or ""
        _ = split.port
    except ValueError:
        return [(f"{key} is not a URL", remedy)]
    if "@" in split.netloc or not host:
        return [(f"{key} is more than {parts}", remedy)]
    if split.scheme == "https" or (split.scheme == "http" and _is_loopback(host)):
        return []
    return [(f"{key} would {act} unprotected", remedy)]


def _open_addresses(tree: Tree, where: str) -> Problems:
    """Refuse addresses of [notify] that stand where others read them: whoever has one may write there."""
    notify = tree.get("notify")
    found: Problems = []
    for name, value in (notify if isinstance(notify, dict) else {}).items():
        texts = value if isinstance(value, list) else [value]
        for text in (text for text in texts if isinstance(text, str) and name in _ADDRESSES):
            if text and not _VARIABLE.search(text):
                _remember_address(text)
                variable = f"RECONCILE_NOTIFY__{name.upper()}"
                remedy = f'write "${{NAME}}" and export NAME, or export {variable}'
                found.append((f"notify.{name} is a secret, and stands in {where} as it is", remedy))
    return found


def _impossible_addresses(settings: Settings, environ: Mapping[str, str]) -> Problems:
    """Addresses that nothing may be sent to."""
    if not settings.notify.addresses:
        return []
    problems: Problems = []
    for name, address in settings.notify.addresses:
        if name != "apprise":
            problems += _url_problem(f"notify.{name}", address.reveal(), "travel", may_ask=True)
        elif "://" not in address.reveal():
            problems.append(("notify.apprise has an entry that is no Apprise URL", "for example mailtos://..."))
    if settings.notify.apprise and find_spec("apprise") is None:
        words = "notify.apprise needs the package apprise, which is not installed"
        problems.append((words, "pip install apprise, or install reconcile with its extra: notify"))
    try:
        key = _key_text(settings, environ)
    except SettingsError:
        return problems  # Said when a run is opened.
    if len(key) >= _SHORTEST_SECRET and any(key in address.reveal() for _, address in settings.notify.addresses):
        problems.append(("the API key stands in an address of [notify]", "it is for CometChat alone; take it out"))
    return problems


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or (host.isascii() and "%" not in host and ip_address(host).is_loopback)
    except ValueError:
        return False


def environment() -> Mapping[str, str]:
    """The process's environment: the one place that reads it."""
    return os.environ

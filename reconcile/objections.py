"""What is wrong with settings that are well formed, or missing for a command: each objection with its remedy."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

import msgspec

from reconcile.addresses import masked
from reconcile.core.globs import regex_of
from reconcile.core.watermark import is_value
from reconcile.errors import SettingsError
from reconcile.fields import Problems
from reconcile.keys import SHORTEST_SECRET, key_text
from reconcile.settings import MOST_PARTITIONS, Settings, Since, seconds_of

__all__ = ["impossible", "impossible_addresses", "require_app", "require_since", "require_source"]

_SHOWN = 40  # characters of a value
_NO_URL = re.compile(r"[\s\x00-\x1f\x7f\\?#]")  # what a base URL has no place for


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


def impossible(settings: Settings) -> Problems:
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
        not settings.run.store or re.fullmatch(r"[^?#]+://[^?#]+", settings.run.store) is not None,
        "run.store is not a URL",
        "for example s3://bucket/folder; without it the partitions are in the run's folder",
    )
    for name, address in (("store", settings.run.store), ("scheduler", settings.run.scheduler)):
        check(
            masked(address.split("?", 1)[0]) == address.split("?", 1)[0],
            f"run.{name} has a password in it",
            "its keys belong into the environment, where the library finds them",
        )
    check(
        len(settings.source.delimiter) <= 1,
        "source.delimiter is not one character",
        "for example --set 'source.delimiter=;'",
    )
    problems += [problem for pattern in settings.policy.protect for problem in _pattern_problem(pattern)]
    problems += _since_problems(settings.source.since)
    for name, text in (
        ("source.timeout", settings.source.timeout),
        ("policy.plan_max_age", settings.policy.plan_max_age),
        ("limits.deadline", limits.deadline),
    ):
        problems += _refusal(lambda text=text: seconds_of(text), name)  # type: ignore[misc]
    return problems + _window_problems(settings.guards.window)


def _window_problems(windows: tuple[str, ...]) -> Problems:
    remedy = 'for example ["20h", "7d"]; [] for limits that hold for each run alone'
    wrong = [words for words in windows if _refusal(lambda words=words: seconds_of(words), "") or words == "none"]  # type: ignore[misc]
    return [(f"guards.window has {words!r}, which is not a duration", remedy) for words in wrong]


def _pattern_problem(pattern: str) -> Problems:
    try:
        regex_of(pattern)
    except ValueError as error:
        shown = pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}..."
        return [(f"policy.protect: {shown!r} protects nobody: {error}", 'for example "bot-*", or "admin-[0-9]"')]
    return []


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


def impossible_addresses(settings: Settings, environ: Mapping[str, str]) -> Problems:
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
        key = key_text(settings, environ)
    except SettingsError:
        return problems  # Said when a run is opened.
    if len(key) >= SHORTEST_SECRET and any(key in address.reveal() for _, address in settings.notify.addresses):
        problems.append(("the API key stands in an address of [notify]", "it is for CometChat alone; take it out"))
    return problems


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or (host.isascii() and "%" not in host and ip_address(host).is_loopback)
    except ValueError:
        return False

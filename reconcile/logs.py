"""
The log: events with fields, one line each, the run's id on every line, and no secret in any.

Console form on a terminal, JSON elsewhere. What comes from outside is escaped: a name can hold anything.
"""

import base64
import logging
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING, Any, TextIO, cast
from urllib.parse import quote

if TYPE_CHECKING:
    # Settings bring the frames along, and a usage error must not wait for pandas.
    from reconcile.settings import Secret

__all__ = [
    "bind_run",
    "configure",
    "configure_for_host",
    "name_nobody",
    "readable",
    "readable_but_colors",
    "redact",
    "remember_secret",
    "safe",
]

_secrets: dict[str, None] = {}
_bound: dict[str, str] = {}
_marks: list[Callable[[str, str], str]] = []  # none or one: what stands for a user and a role
_NAMING = {"uid": "user", "role": "role"}  # fields that name somebody, and the kind of their mark
_PATH_OF_USER = re.compile(r"(?<=/users/)[A-Za-z0-9_-]+")
_SECRET_FIELDS = re.compile(r"(?i)(api_?key|authorization|auth_?token|password|secret)")
# The password of a URL may hold any character, so it ends at the last @ of the word.
_USERINFO = re.compile(r"(?<=//)([^:/@\s]*):[^\s\"'<>]*@")  # also where the scheme has lost its colon
_TRACEBACK_LIMIT = 4000
# Control, format, surrogate, private and unassigned characters, and line separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COLOR = re.compile(r"(\x1b\[[0-9;]*m)")  # what click.style writes, and all that a terminal is told


def remember_secret(secret: "Secret") -> None:
    """Have this value taken out of everything that is logged, in every form that it may appear in."""
    value = secret.reveal()
    quoted = quote(value, safe="")
    packed = base64.b64encode(value.encode()).decode().rstrip("=")
    lower = re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), quoted)
    forms = (value, quoted, lower, packed, packed.translate(str.maketrans("+/", "-_")))
    _secrets.update(dict.fromkeys(form for form in forms if form))


def redact(text: str) -> str:
    """Take the known secrets and the passwords of URLs out of a text."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return _USERINFO.sub(r"\1:***@", text)


def safe(text: object, limit: int = 120) -> str:
    """Write a foreign text so that no terminal acts on it and it stays on one line."""
    if isinstance(text, str) and len(text) <= limit and text.isprintable():
        return text
    shown = "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char) in _UNSAFE else char for char in str(text)[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def readable(text: str) -> str:
    """
    Write a whole document so that no terminal acts on it; its lines stay.

    The escapes are those of JSON, so a JSON document stays one that says the same.
    """
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def readable_but_colors(text: str) -> str:
    """Write our own words, with their colours, so that no terminal acts on anything else in them."""
    parts = _COLOR.split(text)
    return "".join(part if number % 2 else readable(part) for number, part in enumerate(parts))


def _escaped(char: str) -> str:
    if unicodedata.category(char) not in _UNSAFE:
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def _with_run(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {**_bound, **event}


def _nameless(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if not _marks:
        return event
    (mark,) = _marks
    return {
        key: mark(_NAMING[key], str(value))
        if key in _NAMING
        else _PATH_OF_USER.sub(lambda found: mark("user", found[0]), value)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _redacted(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return _clean_items(event)


def _clean_items(items: Mapping[Any, Any]) -> dict[str, Any]:
    named = ((str(key), value) for key, value in items.items())
    return {redact(key): "***" if _SECRET_FIELDS.search(key) else _clean(value) for key, value in named}


def _clean(value: Any) -> Any:
    """Give a value that is JSON and holds no secret; what is neither text nor number goes as its text."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if isfinite(value) else str(value)
        case dict():
            return _clean_items(value)
        case list() | tuple() | set() | frozenset():
            return [_clean(inner) for inner in value]
        case _:
            return redact(str(value))


def _one_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    line = {key: safe(value, 2000) if isinstance(value, str) else value for key, value in event.items()}
    if "exception" in line:
        # The renderer would put it on lines of its own. What was raised stands at the end, so that is kept.
        del line["exception"]
        words = " | ".join(row.strip() for row in str(event["exception"]).splitlines())
        line["traceback"] = safe(words[-_TRACEBACK_LIMIT:], 6 * _TRACEBACK_LIMIT)
    return line


def bind_run(run_id: str) -> None:
    """Have every line from now on bear this run, whichever thread it comes from."""
    _bound["run_id"] = run_id


def name_nobody(mark: Callable[[str, str], str]) -> None:
    """Have no line from now on name a user: `mark` gives what stands for a text of a kind, which is user or role."""
    _marks[:] = [mark]


def configure(
    *, form: str, level: str, stream: TextIO | None = None, run_id: str = "", plain: bool = False
) -> None:
    """Set the log up. `form` is console or json; `level` one of debug, info, warning, error; `plain` is without colours."""
    import structlog  # noqa: PLC0415 - an error is told without a log, and soon

    stream = stream or sys.stderr
    # No locals in tracebacks: they would show the key.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    processors: list[Any] = [
        _with_run,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(tracebacks)
        if form == "json"
        else structlog.processors.format_exc_info,
        _nameless,
        _redacted,
        *_renderers(form, stream, plain=plain),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Lossy(stream))),
        cache_logger_on_first_use=False,
    )
    _bound.clear()
    _marks.clear()
    if run_id:
        bind_run(run_id)
    for name in ("httpx", "httpcore"):
        # Their request lines carry the whole URL, and their debug lines the headers.
        logging.getLogger(name).setLevel(logging.WARNING)


def configure_for_host() -> None:
    """Have the log go where the host's does, as JSON lines; a host that has set structlog up gets its events."""
    import structlog  # noqa: PLC0415 - as above

    if structlog.is_configured():
        return
    configure(form="json", level="debug")
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())


class _Lossy:
    """Loses what its stream does not take: a log on a full disk, or behind a pipe that is gone, ends no run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _renderers(form: str, stream: TextIO, *, plain: bool) -> Iterable[Any]:
    import structlog  # noqa: PLC0415 - as above

    if form == "json":
        return (structlog.processors.JSONRenderer(),)
    colors = stream.isatty() and not plain
    return (
        _one_line,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    )

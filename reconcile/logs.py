"""
The log: events with fields, one line each, the run's id on every line, and no secret in any.

Console form on a terminal, JSON elsewhere. What comes from outside is escaped: a name can hold anything.
"""

import base64
import logging
import re
import sys
import unicodedata
from collections.abc import Iterable, MutableMapping
from typing import Any, TextIO
from urllib.parse import quote

import structlog

from reconcile.settings import Secret

__all__ = ["configure", "redact", "remember_secret", "safe"]

_secrets: dict[str, None] = {}
_SECRET_FIELDS = re.compile(r"(?i)(api_?key|authorization|auth_?token|password|secret)")
_USERINFO = re.compile(r"(?<=://)([^:/@\s]*):[^@/\s]*@")
# Control, format, surrogate, private and unassigned characters, and line separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def remember_secret(secret: Secret) -> None:
    """Have this value taken out of everything that is logged, in every form that it may appear in."""
    value = secret.reveal()
    forms = (value, quote(value, safe=""), base64.b64encode(value.encode()).decode())
    _secrets.update(dict.fromkeys(forms))


def redact(text: str) -> str:
    """Take the known secrets and the passwords of URLs out of a text."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return _USERINFO.sub(r"\1:***@", text)


def safe(text: object, limit: int = 120) -> str:
    """Write a foreign text so that no terminal acts on it and it stays on one line."""
    shown = "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char) in _UNSAFE else char for char in str(text)[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _redacted(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: "***" if _SECRET_FIELDS.search(key) else _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    return value


def _one_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: safe(value, 2000) if isinstance(value, str) else value for key, value in event.items()}


_plain_exception = structlog.processors.format_exc_info


def configure(*, form: str, level: str, stream: TextIO | None = None, run_id: str = "") -> None:
    """Set the log up. `form` is console or json; `level` one of debug, info, warning, error."""
    stream = stream or sys.stderr
    # No locals in tracebacks: they would show the key.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(tracebacks) if form == "json" else _plain_exception,
        _redacted,
        *_renderers(form, stream),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    if run_id:
        structlog.contextvars.bind_contextvars(run_id=run_id)
    for name in ("httpx", "httpcore"):
        # Their request lines carry the whole URL, and their debug lines the headers.
        logging.getLogger(name).setLevel(logging.WARNING)


def _renderers(form: str, stream: TextIO) -> Iterable[Any]:
    if form == "json":
        return (structlog.processors.JSONRenderer(),)
    colors = stream.isatty()
    return (
        _one_line,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    )

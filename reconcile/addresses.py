"""
How the location of a source is shown: nothing that might be a password.

It is masked before anything is known about its form, because a slip of the keyboard does not make a password public. A plain
path stays readable.
"""

import re

__all__ = ["masked", "note_written", "shown_address"]

_VARIABLE = re.compile(r"\$\{\w+\}")
_EXPORT = re.compile(r"(?i)\.(csv|tsv|txt|jsonl|ndjson|json|parquet|xlsx|zip|gz|zst)$")
# What was meant as a database URL, whatever stands behind the name.
_DATABASE = re.compile(r"(?i)^(postgres|mysql|mariadb|sqlite|mssql|oracle|mongodb|redis|snowflake)[\w+.]*[:/]")
_STORES = frozenset({"s3", "gs", "gcs", "az", "abfs", "abfss", "file", "memory", "sqlite"})
_HEAD = re.compile(r"[A-Za-z][\w+.-]*:?/+")
_NO_PORT = re.compile(r"(?<=[^/:\[\]]):(?!\d{0,5}(?:/|$))[^/\s]+")
_NAMED = re.compile(r"(?i)\b(password|passwd|passphrase|pwd|secret|token|api_?key)(\s*=\s*)[^\s;&,]+")
_written: dict[str, str] = {}  # what stood in the settings, by what it became with the values of its ${NAME}


def note_written(location: str, written: str) -> None:
    """Note how a location was written whose ${NAME} have got their values: any of them may be a password."""
    if location != written:
        _written[location] = written


def shown_address(location: str) -> str:
    """Return a location for people: no password, no query string, and no value of a variable that may be one."""
    written = _written.get(location)
    if written is None:
        return masked(location)
    # One variable that holds the whole URL or path: that is shown, for it says what was read.
    is_whole = _VARIABLE.fullmatch(written) is not None
    says_what = "://" in location or "/" in location or _EXPORT.search(location) is not None
    return masked(location if is_whole and says_what else written)


def masked(location: str) -> str:
    """Return a location without what might be a password, and a URL without its query string."""
    scheme, is_url, rest = location.partition("://")
    shown = f"{scheme}://{_masked_rest(scheme.lower(), rest)}" if is_url else _masked_text(location)
    return _NAMED.sub(r"\1\2***", shown)


def _masked_rest(scheme: str, rest: str) -> str:
    # The password comes off first: it may hold any character, also those that end other parts of a URL.
    account, at, place = rest.rpartition("@")
    place = place.split("?", 1)[0]
    if not at:
        server, slash, path = place.partition("/")
        return f"{_NO_PORT.sub(':***', server)}{slash}{path}"
    user, has_password, _ = account.partition(":")
    if "?" in user:
        return user.split("?", 1)[0]
    if (user or has_password) and {"/", "#"}.isdisjoint(user):
        is_token = scheme in {"http", "https"} and not has_password
        return f"{'***' if is_token else user}{':***' if has_password else ''}@{place}"
    if not has_password and (scheme in _STORES or not user):
        return rest.split("?", 1)[0]  # a path with an @ in it
    return f"***@{place}"


def _masked_text(text: str) -> str:
    """Mask what is no URL, and may have been meant as one."""
    is_meant = "//" in text.lstrip("/") or _DATABASE.match(text) is not None
    account, at, place = text.rpartition("@")
    if is_meant:
        place = place.split("?", 1)[0]
    if at and (is_meant or (":" in account and not _EXPORT.search(text))):
        head = _HEAD.match(account)
        return f"{head[0] if head else ''}***@{place}"
    if at:
        return text
    return _NO_PORT.sub(":***", place) if is_meant else place

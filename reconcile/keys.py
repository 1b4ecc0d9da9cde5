"""
What is secret in settings: the API key, and what ${NAME} stands for in addresses.

It comes from the environment or from a file of its own, and is taken out of whatever is said from then on.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from reconcile.addresses import masked, note_written
from reconcile.errors import SettingsError
from reconcile.fields import Problems
from reconcile.logs import remember_secret
from reconcile.settings import Notify, Secret, Settings
from reconcile.trust import distrusted

__all__ = [
    "ELSEWHERE",
    "SHORTEST_SECRET",
    "api_key",
    "expand",
    "key_text",
    "open_addresses",
    "remember",
    "remember_location",
    "with_addresses",
]

ELSEWHERE = re.compile(r"://|^\$\{\w+\}")  # a location that is no path beside the file
_VARIABLE = re.compile(r"\$\{\w+\}")
_ADDRESSES = frozenset(Notify.__struct_fields__) - {"when"}
_UNQUOTED = re.compile(r"[@:/?#\[\]\s]")
SHORTEST_SECRET = 8
_SHORTEST_TOKEN = 16
_LOOKS_LIKE_A_KEY = re.compile(r"[0-9A-Fa-f]{32,}")


def api_key(settings: Settings, environ: Mapping[str, str]) -> Secret:
    """
    Find the key: the named file, systemd's credential, then the environment.

    Raises: SettingsError when there is none, its file cannot be read, or it stands in another setting too.
    """
    text = key_text(settings, environ)
    # Settings are written down with every run.
    written = msgspec.json.encode(msgspec.structs.replace(settings, notify=Notify())).decode()
    if len(text) >= SHORTEST_SECRET and text in written:
        raise SettingsError(
            "the API key stands in a setting that is no place for it",
            hint="take it out of flags and settings file, make a new key, and export that as COMETCHAT_API_KEY",
        )
    return Secret(text)


def key_text(settings: Settings, environ: Mapping[str, str]) -> str:
    """Give the key as it was found, which may stand elsewhere too. Raises: SettingsError as `api_key`."""
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
            found = distrusted(file)
            text = file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a text file"
            raise SettingsError(
                f"the API key file {file} cannot be read: {reason}",
                hint="name a text file with the key alone that this user may read: --api-key-file FILE",
            ) from None
        if found is not None:
            raise SettingsError(
                f"the API key file {file} is not trusted: {found[0]}",
                hint=f"see that it holds your key, then: {found[1]}",
            )
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


def expand(key: str, location: str, environ: Mapping[str, str], problems: Problems) -> str:
    """Put environment values in the place of ${NAME} in a URL, or of the whole of it."""
    if not ELSEWHERE.search(location):
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
        remember(text)
        # A password that could not stand in a URL as it is was not quoted for one.
        is_password = location[: match.start()].endswith(":") and location.startswith("@", match.end())
        return quote(text, safe="") if is_password and _UNQUOTED.search(text) else text

    expanded = re.sub(r"\$\{(\w+)\}", value, location)
    note_written(expanded, location)
    return expanded


def with_addresses(notify: Notify, environ: Mapping[str, str], problems: Problems) -> Notify:
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
    remember(text)
    for part in re.split(r"[/?&=@:\s]+", text):
        if len(part) >= _SHORTEST_TOKEN and re.search(r"\d", part):
            remember(part)


def remember_location(location: str) -> None:
    """Have the password of an address that is not well-formed taken out of what others say of it."""
    account, at, _ = location.rpartition("@")
    if at and masked(location) != location:
        remember(location)
        remember(account)
        remember(account.rpartition(":")[2])


def remember(secret: str) -> None:
    """Have a secret taken out of every error from here on; a plain word would be missed in every sentence."""
    if len(secret) >= SHORTEST_SECRET and not secret.isalpha():
        remember_secret(Secret(secret))


def open_addresses(tree: dict[str, Any], where: str) -> Problems:
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

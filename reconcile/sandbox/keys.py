"""
The keys of the app, and who is let in with them.

Owns the check of the two headers that a request carries. It comes before anything else is looked at, the body
included.
"""

from dataclasses import dataclass

from reconcile.sandbox.answers import Refusal, refused
from reconcile.sandbox.switches import Switches

__all__ = ["AUTH_ONLY_KEY", "FULL_ACCESS_KEY", "Keys", "admit"]

# 40 hexadecimal characters like a real key, and plainly not one.
FULL_ACCESS_KEY = "5a4d" + "0" * 32 + "f011"
AUTH_ONLY_KEY = "5a4d" + "0" * 32 + "a117"


@dataclass(slots=True)
class Keys:
    """
    What the app was told to accept; an app without an id accepts any.
    """

    full_access: str = FULL_ACCESS_KEY
    auth_only: str = AUTH_ONLY_KEY
    app_id: str | None = None
    revoked: bool = False


def admit(keys: Keys, key: str, app_id: str, *, may_create: bool, switches: Switches) -> None:
    """
    Let a request in.

    Raises: Refusal for an app or a key that is missing, unknown, or of too narrow a scope.
    """
    _check_app(keys, app_id, switches)
    if not key:
        status = int(switches.empty_key_status)
        raise refused(status, "AUTH_ERR_EMPTY_APIKEY", "The apiKey header is missing or empty.")
    if keys.revoked or key not in (keys.full_access, keys.auth_only):
        raise _unknown(key, switches)
    if key == keys.auth_only and not (may_create and switches.auth_only_create == "allowed"):
        raise refused(403, "AUTH_ERR_NO_ACCESS", f"The API key {key} has no access to this operation.")


def _check_app(keys: Keys, app_id: str, switches: Switches) -> None:
    if not app_id and switches.app_id_header == "required":
        raise refused(400, "AUTH_ERR_EMPTY_APPID", "The appId header is missing or empty.")
    if app_id and keys.app_id is not None and app_id != keys.app_id:
        status = int(switches.wrong_app_status)
        raise refused(status, "AUTH_ERR_INVALID_APPID", f"There is no app with the id {app_id} in this region.")


def _unknown(key: str, switches: Switches) -> Refusal:
    status = int(switches.unknown_key_status)
    return refused(status, "AUTH_ERR_APIKEY_NOT_FOUND", f"There is no API key {_mask(key)}. Please check it.")


def _mask(key: str) -> str:
    # Recorded: the first five and the last five characters stay, stars stand for the rest.
    if len(key) <= 10:
        return "*" * len(key)
    return key[:5] + "*" * (len(key) - 10) + key[-5:]

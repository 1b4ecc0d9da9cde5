"""
The rules that every written field shares.

Owns the reading of a JSON body, the limits of its size, and the checks of plain fields: what is blank, too
long, or of another type. Whatever breaks a rule is collected, as the service's validator does.
"""

import re
from typing import Any

import msgspec
from msgspec import UNSET

from reconcile.sandbox.answers import Refusal, invalid, unfit
from reconcile.sandbox.switches import Switches

__all__ = ["MAX_BODY", "Changes", "Fields", "read_object"]

Changes = dict[str, Any]

# Limits: vendor's documentation, "properties and constraints".
MAX_BODY = 10 * 1024
MAX_NAME = 100
MAX_URL = 3_000

_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#]+\S*", re.IGNORECASE)
_decode = msgspec.json.Decoder().decode


def read_object(body: bytes, switches: Switches) -> dict[str, Any]:
    """
    Return the JSON object of a body; an empty body is an empty object.

    Raises: Refusal when it is too large or no JSON object.
    """
    if len(body) > MAX_BODY and switches.body_over != "accept":
        details = {"body": ["The body may not be greater than 10 kilobytes."]}
        raise invalid(details, status=int(switches.body_over))
    try:
        value = _decode(body or b"{}")
    except (ValueError, RecursionError) as error:  # broken, of no Unicode, or too deep
        raise unfit("body", "The body must be valid JSON.") from error
    if not isinstance(value, dict):
        raise unfit("body", "The body must be a JSON object.")
    return value


class Fields:
    """
    One body on its way to becoming changes; `changes` and `problems` grow with each field that is read.
    """

    def __init__(self, body: dict[str, Any], switches: Switches) -> None:
        self.changes: Changes = {}
        self.problems: dict[str, list[str]] = {}
        self.body = body
        self.switches = switches
        self.refusal: Refusal | None = None

    def settle(self) -> Changes:
        """
        Return the changes.

        Raises: Refusal when any field broke a rule.
        """
        if self.problems:
            raise invalid(self.problems)
        if self.refusal is not None:
            raise self.refusal
        return self.changes

    def complain(self, path: str, sentence: str) -> None:
        """
        Note that a field breaks a rule.
        """
        self.problems.setdefault(path, []).append(sentence)

    def name(self, *, required: bool) -> None:
        """
        Read the name: needed for something new, never blank.
        """
        if not required and "name" not in self.body:
            return
        if self.is_filled("name", "is required" if required else "must have a value"):
            self.keep("name", self.text_of("name", MAX_NAME))

    def text(self, field: str, limit: int | None = None) -> None:
        """
        Read an optional text.
        """
        if self.is_sent(field):
            self.keep(field, self.text_of(field, limit))

    def url(self, field: str) -> None:
        """
        Read an optional web address; nobody looks whether it is there.
        """
        if not self.is_sent(field):
            return
        value = self.text_of(field, MAX_URL)
        if value is not None and not _URL.fullmatch(value):
            self.complain(field, f"The {field} format is invalid.")
        self.keep(field, value)

    def time(self, field: str) -> None:
        """
        Read a time in whole seconds, as a number or as text of ten digits.
        """
        value = self.body.get(field)
        if value is None:
            return
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{10}", str(value)):
            self.complain(field, f"The {field} must be a time in seconds, of 10 digits.")
        else:
            self.changes[field] = int(value)

    def flag(self, field: str) -> bool:
        """
        Say whether a yes-or-no field is on.
        """
        return self.body.get(field) in (True, 1, "1", "true")

    def is_filled(self, field: str, otherwise: str) -> bool:
        value = self.body.get(field)
        if value is None or (isinstance(value, str) and not value.strip()):
            self.complain(field, f"The {field} field {otherwise}.")
            return False
        return True

    def is_sent(self, field: str) -> bool:
        value = self.body.get(field, UNSET)
        if value is None:
            self.none_of(field, self.switches.null_value)
        elif isinstance(value, str) and not value.strip():
            self.none_of(field, self.switches.empty_string)
        else:
            return value is not UNSET
        return False

    def none_of(self, field: str, verdict: str) -> None:
        if verdict == "reject":
            self.complain(field, f"The {field} field must have a value.")
        elif verdict == "clear":
            self.changes[field] = UNSET

    def text_of(self, field: str, limit: int | None) -> str | None:
        value = self.body[field]
        if not isinstance(value, str):
            self.complain(field, f"The {field} must be a string.")
            return None
        text = value.strip()
        if limit is not None and self.length(text) > limit:
            self.complain(field, f"The {field} may not be greater than {limit} characters.")
        return text

    def keep(self, field: str, value: str | None) -> None:
        if value is not None:
            self.changes[field] = value

    def length(self, text: str) -> int:
        if self.switches.length_unit == "characters":
            return len(text)
        return len(text.encode("utf-16-le")) // 2

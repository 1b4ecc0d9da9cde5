"""
The rules for what a request may write about users and roles.

Owns the fields with a rule of their own. A change to UNSET clears the field. Unknown fields are ignored,
because the vendor's own SDK sends some.
"""

import re
from collections.abc import Callable, Container

import msgspec
from msgspec import UNSET

from reconcile.sandbox.answers import refused
from reconcile.sandbox.fields import Changes, Fields
from reconcile.sandbox.roles import DEFAULT_ROLE
from reconcile.sandbox.users import MAX_UID

__all__ = ["Changes", "Form"]

# Limits: vendor's documentation, "properties and constraints".
MAX_TAG = 100
MAX_TAGS = 25
MAX_METADATA = 5 * 1024
MAX_METADATA_OLD = 1_600  # characters, on the older pages

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Form(Fields):
    """
    The body of a request about a user or a role.
    """

    def identifier(self, field: str) -> None:
        """
        Read the uid or the role id of something new, folded to lower case.
        """
        if not self.is_filled(field, "is required"):
            return
        value = self.text_of(field, MAX_UID)
        if value is None:
            return
        legal = "A-Za-z0-9-" if self.switches.uid_underscore == "illegal" else "A-Za-z0-9_-"
        if re.fullmatch(f"[{legal}]+", value):
            self.changes[field] = value.lower()
        elif field == "uid" and self.switches.bad_uid_code == "ERR_INVALID_UID":
            self.refusal = refused(400, "ERR_INVALID_UID", f"The uid {value} has characters that are not allowed.")
        else:
            self.complain(field, f"The {field} format is invalid.")

    def role(self, roles: Container[str]) -> None:
        """
        Read the role, which must be there already; cleared, it is the built-in one.
        """
        if not self.is_sent("role"):
            if self.changes.get("role") is UNSET:
                self.changes["role"] = DEFAULT_ROLE
            return
        value = self.text_of("role", None)
        if value is None:
            return
        role = value.lower() if self.switches.role_case == "folded" else value
        if role in roles:
            self.changes["role"] = role
        elif self.switches.unknown_role == "ERR_ROLE_NOT_FOUND":
            self.refusal = refused(404, "ERR_ROLE_NOT_FOUND", f"There is no role {role}. Please create it first.")
        else:
            self.complain("role", "The selected role is invalid.")

    def metadata(self, *, limit: int | None = MAX_METADATA) -> None:
        """
        Read the metadata, an object or its JSON text; the limit is in bytes, where the switch does not say another.
        """
        if not self.is_sent("metadata"):
            return
        value = self.body["metadata"]
        if isinstance(value, str):  # recorded: PUT took a JSON text
            value = _object_in(value)
        if value != [] and not isinstance(value, dict):
            self.complain("metadata", "The metadata must be an object.")
            return
        self._check_size(value, limit)
        self.changes["metadata"] = value or self._empty_metadata()

    def settings(self) -> None:
        """
        Read the settings of a role.
        """
        if not self.is_sent("settings"):
            return
        if isinstance(self.body["settings"], dict):
            self.changes["settings"] = self.body["settings"]
        else:
            self.complain("settings", "The settings must be an object.")

    def tags(self) -> None:
        """
        Read the tags; what an empty list does is a switch.
        """
        if not self.is_sent("tags"):
            return
        tags = self.body["tags"]
        if not isinstance(tags, list):
            self.complain("tags", "The tags must be an array.")
        elif not tags:
            self.none_of("tags", self.switches.empty_tags)
        elif len(tags) > MAX_TAGS:
            self.complain("tags", f"The tags may not have more than {MAX_TAGS} items.")
        else:
            read = [self._tag(f"tags.{at}", tag) for at, tag in enumerate(tags)]
            self.changes["tags"] = read

    def unset(self, allowed: Container[str], others: Container[str] = ()) -> None:
        """
        Read the fields to clear; it comes last, so that it wins over a field that was sent, unless switched.
        """
        fields = self.body.get("unset") or []
        if not isinstance(fields, list):
            self.complain("unset", "The unset must be an array.")
            return
        for at, field in enumerate(fields):
            if field in allowed or (field in others and self.switches.unset_other == "clear"):
                self._clear(field)
            elif self.switches.unset_other != "ignore":
                self.complain(f"unset.{at}", f"The selected unset.{at} is invalid.")

    def _tag(self, path: str, tag: object) -> str:
        if not isinstance(tag, str) and tag is not None:
            self.complain(path, f"The {path} must be a string.")
            return ""
        text = (tag or "").strip()
        if not text:
            self.complain(path, f"The {path} field is required.")
        elif self.length(text) > MAX_TAG:
            self.complain(path, f"The {path} may not be greater than {MAX_TAG} characters.")
        return text

    def _clear(self, field: str) -> None:
        if self.switches.unset_and_set == "unset_wins" or field not in self.changes:
            self.changes[field] = UNSET

    def _check_size(self, metadata: object, limit: int | None) -> None:
        encoded = _encode(metadata)
        if self.switches.metadata_limit == "5_kb":
            if limit is not None and len(encoded) > limit:
                self.complain("metadata", "The metadata may not be greater than 5 kilobytes.")
        elif len(encoded.decode()) > MAX_METADATA_OLD:
            self.complain("metadata", f"The metadata may not be greater than {MAX_METADATA_OLD} characters.")

    def _empty_metadata(self) -> object:
        shown: dict[str, Callable[[], object]] = {"list": list, "object": dict, "dropped": lambda: UNSET}
        return shown[self.switches.empty_metadata]()


def _object_in(text: str) -> object:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text

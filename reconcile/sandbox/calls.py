"""
A request as the sandbox sees it, free of the server.

Owns the reading of the path: the version in front of it, the resource, and the uid or role behind it.
"""

import re
from dataclasses import dataclass, field

__all__ = ["Call", "split_version"]

_VERSION = re.compile(r"/(v\d+(?:\.\d+)?)(?=/|$)")
_SERVED = ("v3", "v3.0")  # the SDK's prefix is v3.0; without any, the SDK with an overridden host


@dataclass(slots=True)
class Call:
    """
    One request: `path` is without the version; a fault may change `query`, `sent_query` stays as it came.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    key: str = ""
    app_id: str = ""
    is_served: bool = True
    sent_query: str = field(init=False)
    resource: str = field(init=False)
    item: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.sent_query = self.query
        parts = self.path.strip("/").split("/", 1)
        self.resource = parts[0]
        # Recorded: an item is folded before it is looked up, and is not percent-decoded.
        self.item = parts[1].lower() if len(parts) > 1 else None


def split_version(path: str) -> tuple[str, bool]:
    """
    Return the path without its version, and whether that version is served.
    """
    found = _VERSION.match(path)
    if found is None:
        return path, True
    return path[found.end() :] or "/", found[1] in _SERVED

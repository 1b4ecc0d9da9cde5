"""
Shell-style patterns of uids as regular expressions.

`*` is any text, `?` one character, `[abc]`, `[a-c]` and `[!abc]` one of a set; capitals count as small letters.
"""

import re
from collections.abc import Iterator

__all__ = ["regex_of"]

_LONGEST = 100  # characters of a uid
_PIECE = re.compile(r"\*+|\?|\[(!?)([^\]]+)\]|[a-z0-9_-]")
_MEMBER = re.compile(r"([a-z0-9_-])-([a-z0-9_-])|([a-z0-9_-])")


def regex_of(pattern: str) -> str:
    """
    Return the regular expression of RE2 that a shell-style pattern stands for.

    Raises: ValueError for a pattern that no uid can match: somebody believes that it protects users.
    """
    pieces = list(_pieces(pattern.lower()))
    if not pieces:
        raise ValueError("it is empty")
    if sum(piece != ".*" for piece in pieces) > _LONGEST:
        raise ValueError(f"it is longer than the {_LONGEST} characters of a uid")
    return f"^(?s:{''.join(pieces)})\\z"


def _pieces(pattern: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        found = _PIECE.match(pattern, at)
        if found is None:
            raise ValueError(
                "[ has no ] behind it" if pattern[at] == "[" else f"no uid has the character {pattern[at]!r}"
            )
        at = found.end()
        if found[2]:
            yield _one_of(found[2], negated=bool(found[1]))
        else:
            yield {"*": ".*", "?": "."}.get(found[0][0], found[0])


def _one_of(members: str, *, negated: bool) -> str:
    at, kept = 0, ""
    while at < len(members):
        found = _MEMBER.match(members, at)
        if found is None:
            raise ValueError(f"no uid has the character {members[at]!r}")
        if found[1] and found[1] > found[2]:
            raise ValueError(f"the range {found[0]} runs backwards")
        at, kept = found.end(), kept + "-".join(map(re.escape, filter(None, found.groups())))
    return f"[{'^' if negated else ''}{kept}]"

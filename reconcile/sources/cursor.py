"""What is asked of a database, and what a database gives: columns, and rows by the batch."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from time import monotonic
from typing import Any
from urllib.parse import quote

from sqlalchemy.engine import URL

from reconcile.core.watermark import bound
from reconcile.errors import SourceError
from reconcile.settings import Secret, Source, seconds_of
from reconcile.sources.values import Write

__all__ = ["BATCH", "CONNECT_S", "Ask", "Deadline", "Open", "Stream"]

# Rows a batch. Measured with a million rows: 10,000 take twice the memory, and longer; 500 take longer.
BATCH = 2_000
CONNECT_S = 10
_SECRET_OPTION = re.compile(r"(?i)pass|secret|token|key$")


class Deadline:
    """The end of the time that a read may take."""

    def __init__(self, limit_s: float | None) -> None:
        self.limit_s = limit_s
        self._ends = None if limit_s is None else monotonic() + limit_s

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, not less than 0; None where there is no end."""
        return None if self._ends is None else max(0.0, self._ends - monotonic())

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.left_s == 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One read of a database: where, what, from which value of `source.since` on, and for how long at most."""

    source: Source
    url: URL
    deadline: Deadline
    since: str | None = None

    @classmethod
    def of(cls, source: Source, url: URL, since: str | None = None) -> "Ask":
        """Start the clock of a read."""
        return cls(source, url, Deadline(seconds_of(source.timeout)), since)

    def statement(self, quoting: str, parameter: str = ":since", percent: str = "%") -> str:
        """
        Give what is to be asked, its names in these quotes: all of the query or of the table, or its part.

        For a part the driver's own `parameter` stands for the value, which is never a piece of the text, and
        `percent` for a percent sign, where that driver has another meaning for one.
        """
        whole = self.source.query or f"select * from {_quoted(self.source.table, quoting)}"  # noqa: S608 - quoted
        if self.since is None:
            return whole
        # A query may end in a semicolon, or in a comment.
        inner = whole.strip().rstrip(";")
        column = _quoted_part(self.source.since.column, quoting)
        changed = (f"select * from ({inner}\n) changed where changed.{column} >= ", "")  # noqa: S608 - as above
        parts = self.source.since.parts if self.source.since.query else changed
        return parameter.join(part.replace("%", percent) for part in parts)

    @property
    def parameters(self) -> dict[str, int | Decimal | str] | None:
        """The value that a statement for a part has a parameter for."""
        return None if self.since is None else {"since": bound(self.since)}

    def secrets(self) -> Iterator[Secret]:
        """Give what nobody is to see of the URL."""
        if self.url.password:
            yield Secret(str(self.url.password))
        for name, value in self.url.query.items():
            if _SECRET_OPTION.search(name):
                yield from (Secret(text) for text in ([value] if isinstance(value, str) else value) if text)

    def check_time(self) -> None:
        """See that there is time left. Raises: SourceError."""
        if self.deadline.is_over:
            raise self.refusal("the time is up")

    def refusal(self, words: str, names: Callable[[], Sequence[str]] = tuple) -> SourceError:
        """
        Make the error for what a database said, with the remedy that fits.

        `names` gives the names of its tables and columns; it is asked only where one was not found.
        """
        for secret in self.secrets():
            for form in (secret.reveal(), quote(secret.reveal(), safe="")):
                words = words.replace(form, "***")
        said = f"{self.source.shown} cannot be read: {words[:300]}"
        if _OVERDUE.search(words):
            said = f"{self.source.shown} cannot be read in {self.source.timeout} (source.timeout): {words[:300]}"
        return SourceError(said, hint=_near(words, names) or _remedy(words))


def _quoted(name: str, quoting: str) -> str:
    schema, _, own = name.rpartition(".")
    return ".".join(_quoted_part(part, quoting) for part in (schema, own) if part)


def _quoted_part(name: str, quoting: str) -> str:
    return f"{quoting}{name.replace(quoting, quoting * 2)}{quoting}"


@dataclass(frozen=True, slots=True)
class Stream:
    """
    A read that has begun. `writers` make a column's values text; None: they are text, or UTF-8, already.
    `has_types` says that values come as Python's own, and not as a server writes them.

    `fetch` gives the next rows, and none at the end. `as_of_unix_s` is the start of the read by the
    database's clock, where it has one.
    """

    columns: tuple[str, ...]
    writers: tuple[Write | None, ...]
    fetch: Callable[[], Sequence[Sequence[Any]]]
    as_of_unix_s: int | None = None
    has_types: bool = False


Open = Callable[[Ask], AbstractContextManager[Stream]]

_OVERDUE = re.compile(
    r"(?i)the time is up|statement timeout|max_statement_time|maximum statement execution time|^interrupted$"
    r"|timed? ?out.*during query|during query.*timed? ?out"
)
_MISSING = re.compile(
    r"relation \"(.+?)\" does not exist|column \"?([^\"]+?)\"? does not exist"
    r"|Table '(.+?)' doesn't exist|Unknown column '(.+?)'|no such (?:table|column): (\S+)"
)
_REMEDIES = tuple(
    (re.compile(f"(?i){pattern}"), remedy)
    for pattern, remedy in (
        (_OVERDUE.pattern.removeprefix("(?i)"), "make the query cheaper, or raise source.timeout"),
        (
            r"password|access denied for user .*using|authentication|role .* does not exist|no pg_hba",
            "check the account and the password in the URL; in it, @ is written %40, : %3A, / %2F and % %25",
        ),
        (
            r"database .* does not exist|unknown database|unable to open",
            "check the database at the end of the URL",
        ),
        (r"permission|denied|not authorized", "give the account the right to read what the query names"),
        (
            r"lost|closed|terminat|killed|gone away|shut ?down|starting up|consuming input|EOF|broken pipe|reset by",
            "the read was cut off, and nobody was changed; run it again when the database is up",
        ),
        (
            r"connect|resolve|translate host|refused|timeout expired|no such file",
            "check host and port in the URL, and that the database is up",
        ),
        (
            r"read.?only|syntax|select or with|one statement|multiple commands|query_only|sequence",
            "one statement that only reads, beginning with SELECT or WITH",
        ),
        (r"utf-?8|encod", "turn the bytes into text in the query"),
    )
)


def _remedy(words: str) -> str:
    found = (remedy for pattern, remedy in _REMEDIES if pattern.search(words))
    return next(found, "check the URL, the query and the rights")


def _near(words: str, names: Callable[[], Sequence[str]]) -> str:
    missing = _MISSING.search(words)
    if not missing:
        return ""
    name = next(group for group in missing.groups() if group).rpartition(".")[2]
    near = get_close_matches(name, sorted(set(names())), n=1)
    return f"did you mean {near[0]!r}?" if near else ""

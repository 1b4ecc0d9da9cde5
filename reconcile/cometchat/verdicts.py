"""
The error table: what is done about every answer of CometChat, and about every way to get none.

`TABLE` is the whole of it; the first row that names what was met decides. The rows of codes come first: the
vendor documents codes better than statuses, and a conflict is a 400. `docs/errors-of-cometchat.md` shows the
same rows to users. No input or output in here; failures of the HTTP library go by the names of their classes.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["NO_CERTIFICATE", "TABLE", "UNREADABLE", "Answer", "Failure", "Form", "Row", "Verdict", "judge"]


class Verdict(StrEnum):
    """What to do about what a request met."""

    DONE = "done"
    ABSENT = "absent"  # the user is not there, or not active
    CONFLICT = "conflict"  # the uid is taken: look at who has it
    WAIT = "wait"  # refused for its rate, not processed: the same again, later
    AGAIN = "again"  # the same again, until attempts are spent
    ONCE = "once"  # the same again, but once
    UNCLEAR = "unclear"  # a write that may have been carried out: a look settles it
    REJECT = "reject"  # this request, for good
    STOP = "stop"  # every request, for good
    BUG = "bug"  # a mistake in our own code

    @property
    def may_pass(self) -> bool:
        """Whether it counts as bad weather: enough of it is an outage."""
        return self in {Verdict.AGAIN, Verdict.ONCE, Verdict.UNCLEAR}


class Form(StrEnum):
    """What the body of an answer has to be for a row to hold."""

    ANY = "any"
    JSON = "json"  # an envelope of CometChat's
    OTHER = "other"  # anything else: some box on the way may have said it


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: `code` is its `error.code`, empty when JSON named none, None when it is not CometChat's JSON."""

    status: int
    code: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer: the names of the exception's class and of those that it comes from, nearest first, and what a person needs to know."""

    names: tuple[str, ...]
    detail: str = ""


NO_CERTIFICATE = Failure(("UntrustedCertificate",))
UNREADABLE = Failure(("UnreadableSuccess",))


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row: what it is about, in words and for the machine, and what to do.

    A code that ends in a star stands for all that begin so.
    """

    what: str
    read: Verdict
    write: Verdict
    codes: tuple[str, ...] = ()
    statuses: frozenset[int] = frozenset()
    form: Form = Form.ANY
    failures: frozenset[str] = frozenset()
    remedy: str = ""

    def verdict(self, *, is_write: bool) -> Verdict:
        """Say what to do about a read or a write."""
        return self.write if is_write else self.read

    def names(self, met: Answer | str) -> bool:
        """Whether this row is about an answer, or about a failure of this name."""
        if isinstance(met, str):
            return met in self.failures
        if self.codes:
            return bool(met.code) and any(_fits(met.code or "", code) for code in self.codes)
        form = Form.OTHER if met.code is None else Form.JSON
        return met.status in self.statuses and self.form in {Form.ANY, form}


def _fits(code: str, pattern: str) -> bool:
    return code.startswith(pattern[:-1]) if pattern.endswith("*") else code == pattern


def _statuses(*wanted: int | range, but: tuple[int, ...] = ()) -> frozenset[int]:
    every = (status for item in wanted for status in (item if isinstance(item, range) else (item,)))
    return frozenset(every) - frozenset(but)


V = Verdict
_ADDRESS = "check cometchat.base_url, app_id and region"
_KEY = "check the key, the app id and the region; a key has 40 characters"
_LATER = "run again later: what is left is found again"

TABLE = (
    # Codes, whatever the status
    Row("the key may not do this", V.STOP, V.STOP,
        codes=("AUTH_ERR_NO_ACCESS", "ERR_PERMISSION_DENIED"),
        remedy="use a key of scope fullAccess (the dashboard calls it REST API Key), not an Auth Key"),
    Row("key or app are refused", V.STOP, V.STOP, codes=("AUTH_ERR_*",), remedy=_KEY),
    Row("the app's plan does not allow it", V.STOP, V.STOP, codes=("ERR_PLAN_*", "ERR_SUBSCRIPTION_*"),
        remedy="the app's plan does not allow this; see the dashboard"),
    Row("there is no such API", V.STOP, V.STOP,
        codes=("ERR_API_NOT_FOUND", "ERR_INVALID_API_VERSION"), remedy=_ADDRESS),
    Row("no user with this uid, or a deactivated one", V.ABSENT, V.ABSENT, codes=("ERR_UID_NOT_FOUND",)),
    Row("the uid of a create is taken", V.CONFLICT, V.CONFLICT, codes=("ERR_UID_ALREADY_EXISTS",)),
    Row("too many requests", V.WAIT, V.WAIT, codes=("ERR_TOO_MANY_REQUESTS",), remedy="lower limits.share"),
    Row("CometChat fails inside", V.AGAIN, V.UNCLEAR,
        codes=("ERR_OPERATION_FAILED", "ERR_EXCEPTION", "ERR_MISSION_FAILED", "ERR_BAD_ERROR_RESPONSE"),
        remedy=_LATER),
    Row("CometChat refuses the values", V.REJECT, V.REJECT,
        codes=("ERR_BAD_REQUEST", "ERR_INVALID_UID", "ERR_ROLE_NOT_FOUND"),
        remedy="the report names the fields; mend the export or the mapping"),
    # Statuses, where no code above decides
    Row("a success", V.DONE, V.DONE, statuses=_statuses(range(200, 300)), form=Form.JSON),
    Row("a success without CometChat's JSON in it", V.AGAIN, V.UNCLEAR,
        statuses=_statuses(range(200, 300)), form=Form.OTHER, remedy=_LATER),
    Row("a redirect, which is never followed", V.REJECT, V.REJECT, statuses=_statuses(range(300, 400)),
        remedy="a redirect is never followed, for the key's sake: " + _ADDRESS),
    Row("not authorized", V.STOP, V.STOP, statuses=_statuses(401), remedy=_KEY),
    Row("forbidden", V.STOP, V.STOP, statuses=_statuses(403),
        remedy=_ADDRESS + ", and that no firewall or proxy stands between"),
    Row("too many requests", V.WAIT, V.WAIT, statuses=_statuses(429), remedy="lower limits.share"),
    Row("a conflict with something that goes on at the same time", V.ONCE, V.UNCLEAR,
        statuses=_statuses(409), remedy=_LATER),
    # 417 stands for an internal mapping bug in the vendor's error guide, so it may pass.
    Row("CometChat, or a server before it, is busy or fails", V.AGAIN, V.UNCLEAR,
        statuses=_statuses(408, 417, 425, range(500, 600), but=(501, 505)), remedy=_LATER),
    # What is not JSON did not come from the API, so it proves nothing: least of all that a user is absent.
    Row("a refusal without CometChat's JSON in it, as of a proxy", V.AGAIN, V.UNCLEAR,
        statuses=_statuses(range(400, 500)), form=Form.OTHER, remedy=_LATER),
    Row("any other status", V.REJECT, V.REJECT, statuses=_statuses(range(1000)), remedy=_ADDRESS),
    # No answer
    Row("no connection, so nothing was sent", V.AGAIN, V.AGAIN,
        failures=frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"}), remedy="is the network up?"),
    Row("the server's certificate is not trusted", V.STOP, V.STOP, failures=frozenset(NO_CERTIFICATE.names),
        remedy="check base_url; for a company's own CA set cometchat.ca_file; an expired one is the server's to mend"),
    Row("the address is none that can be used", V.STOP, V.STOP,
        failures=frozenset({"UnsupportedProtocol", "InvalidURL", "TooManyRedirects"}),
        remedy="check cometchat.base_url: https://HOST/v3"),
    Row("the request cannot be put into words of HTTP", V.STOP, V.STOP,
        failures=frozenset({"LocalProtocolError"}),
        remedy="check cometchat.base_url, app_id and the key for stray characters"),
    Row("the connection breaks, is silent, or what comes is no HTTP", V.AGAIN, V.UNCLEAR,
        failures=frozenset({
            "CloseError", "DecodingError", "HTTPError", "HTTPStatusError", "NetworkError", "ProtocolError",
            "ProxyError", "ReadError", "ReadTimeout", "RemoteProtocolError", "RequestError", "TimeoutException",
            "TransportError", "WriteError", "WriteTimeout",
        }), remedy=_LATER),
    Row("a success that is cut short, too large, or about another user", V.AGAIN, V.UNCLEAR,
        failures=frozenset(UNREADABLE.names), remedy=_LATER),
    Row("a mistake of ours in the use of the HTTP library", V.BUG, V.BUG,
        failures=frozenset({
            "CookieConflict", "RequestNotRead", "ResponseNotRead", "StreamClosed", "StreamConsumed", "StreamError",
        }), remedy="please report it"),
)  # fmt: skip


def judge(met: Answer | Failure) -> Row:
    """Find the row of what a request met; there is one for everything."""
    for what in met.names if isinstance(met, Failure) else (met,):
        for row in TABLE:
            if row.names(what):
                return row
    raise AssertionError(f"the error table has no row for {met}")

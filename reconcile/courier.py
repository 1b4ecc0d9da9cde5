"""
How one address of `[notify]` is told, or only looked at, and what came of it.

The second door to the network. It knows nothing of CometChat's key, and its words hold nothing of an address: whoever
reads an address may write there.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from reconcile import __version__
from reconcile.settings import Secret

__all__ = ["Answer", "Errand", "all_of", "message", "reach", "send", "usable"]

TIMEOUT_S, TRIES = 5.0, 2
_AGAIN = frozenset({408, 425, 429})
_UNREACHED, _UNTRUSTED = "it cannot be reached", "its certificate is not believed"


class Answer(NamedTuple):
    """How it was answered, for people, and whether that is well."""

    words: str
    is_well: bool = False


Errand = Callable[[], Answer]


def all_of(errands: Mapping[str, Errand], monotonic: Callable[[], float], longest_s: float) -> dict[str, Answer]:
    """Run all at once, wait no longer than so many seconds, and give what came of each."""
    # What still hangs after that is left behind; a daemon thread keeps no process alive.
    answers = dict.fromkeys(errands, Answer(f"no end within {longest_s:.0f} s"))

    def one(name: str, errand: Errand) -> None:
        try:
            answers[name] = errand()
        except Exception as error:  # noqa: BLE001 - a library may raise anything, and its words may hold the address
            answers[name] = Answer(f"a bug or a broken library: {type(error).__name__}")

    threads = [threading.Thread(target=one, args=item, daemon=True) for item in errands.items()]
    until = monotonic() + longest_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - monotonic()))
    return dict(answers)


def send(address: Secret, body: bytes | None = None) -> Answer:
    """GET the address, or POST the body to it; once more where that may help."""
    answer = Answer("")
    for _ in range(TRIES):
        answer, may_help = _try(address.reveal(), body)
        if not may_help:
            break
    return answer


def reach(address: Secret) -> Answer:
    """Connect to the address and believe its certificate, or not; nothing is sent to it."""
    parts = urlsplit(address.reveal())
    host, is_plain = parts.hostname or "", parts.scheme.lower() == "http"
    if not is_plain and "https" in getproxies() and not proxy_bypass(host):
        return Answer("not tried: there is a proxy on the way", is_well=True)
    try:
        with socket.create_connection((host, parts.port or (80 if is_plain else 443)), TIMEOUT_S) as line:
            if is_plain:
                return Answer("it can be reached", is_well=True)
            with ssl.create_default_context().wrap_socket(line, server_hostname=host):
                return Answer("it can be reached, and its certificate is believed", is_well=True)
    except ssl.SSLCertVerificationError:
        return Answer(_UNTRUSTED)
    except TimeoutError:
        return Answer(_silent())
    except (OSError, ValueError):
        return Answer(_UNREACHED)


def usable(address: Secret) -> Answer:
    """Ask Apprise whether it can use an address; nothing is sent to it."""
    return message(address, "", "", is_bad=False, delivers=False)()


def message(address: Secret, title: str, text: str, *, is_bad: bool, delivers: bool = True) -> Errand:
    """Get Apprise ready to deliver. Loading its hundred ways takes a second or more, which is not delivering's."""
    # It writes parts of addresses into its log.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    try:
        import apprise  # noqa: PLC0415 - an extra

        courier = apprise.Apprise()
        if not courier.add(address.reveal()):
            return lambda: Answer("Apprise cannot use this address")
        kind = apprise.NotifyType.FAILURE if is_bad else apprise.NotifyType.SUCCESS
    except Exception as error:  # noqa: BLE001 - it runs the code of many others
        words = f"Apprise is broken ({type(error).__name__})"
        return lambda: Answer(words)
    if not delivers:
        return lambda: Answer("Apprise can use this address", is_well=True)

    def deliver() -> Answer:
        tries = (courier.notify(body=text, title=title, notify_type=kind) for _ in range(TRIES))
        return (
            Answer("Apprise delivered it", is_well=True) if any(tries) else Answer("Apprise could not deliver it")
        )

    return deliver


def _try(url: str, body: bytes | None) -> tuple[Answer, bool]:
    """Give the answer, and whether another try may help. None of the library's own words: they hold the URL."""
    method, headers = "GET", {"user-agent": f"cometchat-reconcile/{__version__}"}
    if body is not None:
        method, headers = "POST", headers | {"content-type": "application/json"}
    try:
        client = httpx.Client(
            timeout=TIMEOUT_S,
            verify=ssl.create_default_context(),
            follow_redirects=False,
            trust_env=not url.lower().startswith("http:"),  # plain http is for this machine alone
        )
    except (ValueError, ImportError):
        return Answer("the proxy of the environment cannot be used"), False
    try:
        with client, client.stream(method, url, content=body, headers=headers) as answer:
            status = answer.status_code
    except httpx.TimeoutException:
        return Answer(_silent()), True
    except httpx.ConnectError as error:
        is_untrusted = "CERTIFICATE" in str(error).upper()
        return Answer(_UNTRUSTED if is_untrusted else _UNREACHED), not is_untrusted
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return Answer(f"the exchange broke off ({type(error).__name__})"), True
    redirects = ", and redirects are not followed" if status // 100 == 3 else ""
    return Answer(
        f"it answered {status}{redirects}", is_well=status // 100 == 2
    ), status >= 500 or status in _AGAIN


def _silent() -> str:
    return f"no answer within {TIMEOUT_S:.0f} s"

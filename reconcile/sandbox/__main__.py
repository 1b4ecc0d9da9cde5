"""
`python -m reconcile.sandbox`: the sandbox as a process of its own, for benchmarks and for tests in other
languages.

Owns the flags of this door. Prints one line of JSON when it listens: url, api_key, auth_only_key, app_id, and
with TLS ca_file.
"""

import argparse
import sys
from pathlib import Path

from reconcile.sandbox.catalogue import text_table
from reconcile.sandbox.flags import options_of
from reconcile.sandbox.server import Address, serve


def main() -> None:
    """
    Serve until a signal.
    """
    parser = _parser()
    given = vars(parser.parse_args())
    if given.pop("list_switches"):
        _say(text_table())
        return
    try:
        serve(options_of(**given), _tell)
    except (OSError, OverflowError, ValueError) as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    # The other door is `reconcile sandbox`; a test holds the two to the same flags.
    parser = argparse.ArgumentParser(
        prog="python -m reconcile.sandbox", description="Serve a local look-alike of the CometChat REST API."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--users", type=Path, help="users to start with, one JSON object a line")
    parser.add_argument("--app-id", help="accept this app id only; any without it")
    parser.add_argument("--profile", dest="profile_name", metavar="NAME", default="observed")
    parser.add_argument("--switch", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    parser.add_argument("--list-switches", action="store_true", help="print every switch, and serve nothing")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="every request waits this long")
    parser.add_argument("--faults", type=Path, help="faults to start with, a JSON array")
    parser.add_argument("--state", type=Path, help="read at the start and kept up to date")
    parser.add_argument("--tls", action="store_true", help="serve https, with a certificate made at the start")
    parser.add_argument("--ca-file", type=Path, help="where --tls writes the certificate to trust")
    parser.add_argument("--no-log", action="store_true", help="count requests, and keep none")
    return parser


def _tell(address: Address) -> None:
    _say(address.as_json() + "\n")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()

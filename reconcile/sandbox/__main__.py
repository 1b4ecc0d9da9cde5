"""
`python -m reconcile.sandbox`: the sandbox as a process of its own, for benchmarks and for tests in other
languages.

Owns the flags. Prints one line of JSON when it listens: url, api_key, auth_only_key, app_id.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from reconcile.sandbox.profiles import PROFILES
from reconcile.sandbox.server import Address, Options, serve
from reconcile.sandbox.switches import describe


def main() -> None:
    """
    Serve until a signal.
    """
    parser = _parser()
    given = parser.parse_args()
    switches = dict(_pair(parser, text) for text in given.switch)
    settings = {**vars(given), "switches": switches, "keep_log": not given.no_log}
    del settings["switch"], settings["no_log"]
    options = Options(**settings)
    try:
        serve(options, _say)
    except (OSError, ValueError) as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reconcile.sandbox",
        description="Serve a local look-alike of the CometChat REST API.",
        epilog=_switch_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--users", type=Path, help="users to start with, one JSON object a line")
    parser.add_argument("--app-id", help="accept this app id only; any without it")
    parser.add_argument("--profile", choices=list(PROFILES), default="observed")
    parser.add_argument("--switch", action="append", default=[], metavar="NAME=VALUE", help="see below")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="every request waits this long")
    parser.add_argument("--faults", type=Path, help="faults to start with, a JSON array")
    parser.add_argument("--state", type=Path, help="read at the start and written at the end")
    parser.add_argument("--no-log", action="store_true", help="count requests, and keep none")
    return parser


def _switch_table() -> str:
    rows = (f"  {row.name:24} {'|'.join(row.values)}\n{'':27}{row.ask.question}" for row in describe())
    return "switches, the default first:\n" + "\n".join(rows)


def _pair(parser: argparse.ArgumentParser, text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        parser.error(f"--switch takes NAME=VALUE, not {text!r}")
    return name, value


def _say(address: Address) -> None:
    sys.stdout.write(msgspec.json.encode(address).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

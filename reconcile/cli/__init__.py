"""
The command line: one file a command, found by name and loaded only when it is called.

Flags become settings here, and errors exit codes. No rule of the job lives here.
"""

import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module

import click

from reconcile import __version__
from reconcile.errors import ExitCode

__all__ = ["main", "run"]

if sys.platform == "linux":
    # Before Arrow is loaded. With the allocator that it would choose, a million users take a second of CPU and 110 MiB more
    # (benchmarks/plan.py).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")

_COMMANDS = {
    "demo": "The main job with nothing to set up, against a local look-alike of CometChat.",
    "init": "Write a commented reconcile.toml for your export.",
    "doctor": "Check settings, source, key, roles, lock and state; each finding with its remedy.",
    "plan": "Dry run: say what would change, and write nothing to CometChat.",
    "apply": "Plan and apply in one go, or apply exactly the plan of a run.",
    "resume": "Finish a run that was stopped or killed.",
    "explain": "One user end to end: row, mapping, directory record, decision, history.",
    "retry": "Plan and apply again for the users that a run did not bring in step.",
    "undo": "Take back what a run wrote, where it still stands.",
    "forget": "Erase one user from everything that runs left behind.",
    "runs": "List past runs.",
    "report": "Show the report of a run again, in any format.",
    "sandbox": "Serve a local look-alike of CometChat.",
}


class _LazyGroup(click.Group):
    """Knows the commands by name and line, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names, in the order in which a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load one command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"reconcile.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without loading one."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the exit codes."""
        with formatter.section("Exit codes (1 > 130/143 > 8 > 4 > 5 > 3 where several hold)"):
            formatter.write_dl([(str(int(code)), code.meaning) for code in ExitCode])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Make the users of a CometChat app match the users of your own app.",
)
@click.version_option(__version__, prog_name="reconcile")
def cli() -> None:
    """Hold the commands together."""


def run(argv: Sequence[str]) -> int:
    """Run one command and give the exit code: the one place where errors end."""
    from reconcile.cli.ending import ending  # noqa: PLC0415 - after the group, which must stay light

    with ending(as_json="--json" in argv) as end:
        end.code = _code(cli.main(list(argv), prog_name="reconcile", standalone_mode=False))
    return end.code


def _code(value: object) -> int:
    return int(value) if isinstance(value, int) else 0


def main() -> None:
    """Be the `reconcile` command."""
    from reconcile.cli.ending import keep_to_ourselves  # noqa: PLC0415 - as above
    from reconcile.cli.streams import open_streams  # noqa: PLC0415
    from reconcile.descriptors import raise_limit  # noqa: PLC0415

    open_streams()
    raise_limit()
    keep_to_ourselves()
    code = run(sys.argv[1:])
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        # A request that a stop left behind would hold the process up until the service answers.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

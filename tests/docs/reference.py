"""Write docs/commands.md from the command line itself: `python -m tests.docs.reference`."""

from pathlib import Path

import click
from click.testing import CliRunner

from reconcile.cli import cli
from reconcile.errors import ExitCode

__all__ = ["PAGE", "commands_page"]

PAGE = Path(__file__).parent.parent.parent / "docs" / "commands.md"
_HEAD = """\
# Every command

What `reconcile COMMAND --help` says, for reading. Settings that have no flag are given by `--set`: [settings.md](settings.md).
"""


def commands_page() -> str:
    """The page as the command line has it now."""
    parts = [_HEAD]
    for name in cli.list_commands(click.Context(cli)):
        said = CliRunner().invoke(cli, [name, "--help"], prog_name="reconcile", terminal_width=100).output
        parts.append(f"## {name}\n\n```text\n{said.strip()}\n```\n")
    codes = "\n".join(f"| {int(code)} | {code.meaning} |" for code in ExitCode)
    parts.append(
        "## Exit codes\n\nWhere several hold: 1, then 130 and 143, 8, what ended the run before its first write (7, 2, 6, 9), 4, 5, 3.\n\n"
        f"| code | meaning |\n|---|---|\n{codes}\n\n"
        "Quarantined rows alone never change an exit code.\n"
    )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(commands_page(), "utf-8")

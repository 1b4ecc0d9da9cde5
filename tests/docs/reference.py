"""Write docs/commands.md from the command line itself: `python -m tests.docs.reference`."""

from pathlib import Path

import click

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
    with click.Context(cli, info_name="reconcile") as root:
        for name in cli.list_commands(root):
            command = cli.get_command(root, name)
            assert command is not None
            with click.Context(command, info_name=name, parent=root, max_content_width=100) as context:
                context.terminal_width = 100
                parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    codes = "\n".join(f"| {int(code)} | {code.meaning} |" for code in ExitCode)
    parts.append(
        "## Exit codes\n\nWhere several hold: 1, then 130 and 143, 8, 4, 5, 3.\n\n"
        f"| code | meaning |\n|---|---|\n{codes}\n\n"
        "Quarantined rows alone never change an exit code.\n"
    )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(commands_page(), "utf-8")

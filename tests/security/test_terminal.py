"""No text from outside acts on a terminal, forges a line of the log, or marks Markdown up."""

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from random import Random

import pytest
import structlog

from reconcile import logs
from reconcile.cli.ending import say
from reconcile.report.markdown import render_markdown
from reconcile.report.terminal import render_terminal
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell
from tests.report.builders import a_change, a_report, a_row, settled, surveyed
from tests.scale import dice, how_many
from tests.terminal import on_a_terminal

UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
PIECES = [
    "\x1b[31m", "\x1b]8;;https://evil.example\x07", "\x1b[2J", "\x9b31m", "\x07", "\x00", "\r", "\n", "\r\n", "\x08", "\x7f",
    "\u0085", "\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\u200b", "\u200f", "\ufeff", "\u00ad",
    "\U000e0041", "\ue000", "\U0001f468\u200d\U0001f469", "Ann", " ", "ä", "漢", "|", "`", "*", '"', "\\", "{", "}",
]  # fmt: skip
CHUNK = 50


def _names() -> Iterator[list[str]]:
    for start in range(0, how_many(5_000, soak=100_000), CHUNK):
        random = dice(f"name-{start}")
        yield [_name(random) for _ in range(CHUNK)]


def _name(random: Random) -> str:
    return "".join(random.choices(PIECES, k=random.randint(1, 8))) + chr(random.randrange(0x3000))


def _acting(text: str) -> set[str]:
    """Give the characters in a text that do more than show, but for the end of a line."""
    return {char for char in text if unicodedata.category(char) in UNSAFE} - {"\n"}


@pytest.fixture
def _log() -> Iterator[None]:
    yield
    logs.bind_run("")
    structlog.reset_defaults()


@pytest.mark.usefixtures("_log")
@pytest.mark.parametrize("form", ["console", "json"])
def test_one_event_is_one_line_on_which_nothing_acts(form: str) -> None:
    """Whatever is in it, and in its name; the JSON form parses and says the same."""
    for names in _names():
        stream = io.StringIO()
        logs.configure(form=form, level="debug", stream=stream)
        for name in names:
            structlog.get_logger().info(name, user=name, inner={"names": [name]}, half="\ud800")
        lines = stream.getvalue().removesuffix("\n").split("\n")

        assert not _acting(stream.getvalue())
        assert len(lines) == CHUNK
        if form == "json":
            assert [json.loads(line)["user"] for line in lines] == names


def test_no_name_acts_in_markdown() -> None:
    """Nor does one make a row of its own."""
    plain = render_markdown(a_report(), surveyed(*[(a_change(), settled())] * CHUNK), [a_row()] * CHUNK)
    for names in _names():
        changes = [(a_change(name), settled(name)) for name in names]
        shown = render_markdown(a_report(names[0]), surveyed(*changes), [a_row(name) for name in names])

        assert not _acting(shown)
        assert shown.count("\n") == plain.count("\n")


def test_no_name_acts_in_what_commands_print(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the summary of a run, nor where somebody forgot to escape it."""
    monkeypatch.setenv("NO_COLOR", "1")
    for names in _names():
        say(render_terminal(a_report(names[0]), [a_change(name) for name in names], []))
        say(" ".join(names))

        assert not _acting(capsys.readouterr().out)


def test_nothing_acts_on_a_real_terminal(shell: Shell, sandbox: Sandbox) -> None:
    """A terminal gets our own colours and what we draw progress with, and no more."""
    hostile = "".join(piece for piece in PIECES if piece not in {"\x00", '"'})
    shell.write("users.csv", f'id,full_name,avatar_url,profile_url,plan,tags,country,ring\nu1,"{hostile}",,,,,,\n')
    told = {
        command: on_a_terminal(*argv).text
        for command, argv in {
            "plan": ("plan", "--quiet"),
            "csv": ("report", "--format", "csv"),
            "explain": ("explain", "u1"),
        }.items()
    }

    for command, text in told.items():
        ours = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r\n", "\n")
        assert not _acting(ours), command
    assert all(
        "\\u001b[31m" in told[command] and "\x1b[31m" not in told[command] for command in ("csv", "explain")
    )

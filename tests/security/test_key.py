"""The key stands in no byte that a command writes, whatever happens and whoever repeats it."""

import base64
import os
import re
import resource
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec
import pytest

from reconcile import logs
from reconcile.cometchat.answers import Met, judge_answer
from reconcile.cometchat.client import Client
from reconcile.cometchat.wire import Request
from reconcile.sandbox.testing import Sandbox, running_sandbox
from reconcile.store.reader import StateReader
from tests.conftest import SAMPLES, Result, Shell
from tests.security.servers import answer, serving

T = TypeVar("T")

KEY = "Sh1b+bo/leth=c0ffee9f31c7"
PACKED = base64.b64encode(KEY.encode()).decode().rstrip("=")
FORMS = [
    KEY, quote(KEY, safe=""), quote(KEY), quote(KEY, safe="").lower(), PACKED, base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    KEY.encode().hex(), KEY[:20], KEY[-20:],
]  # fmt: skip
OUTPUTS = [[], ["--json"], ["--verbose", "--log-format", "json"], ["--verbose", "--log-format", "console"]]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """An app whose key is the one to look for."""
    monkeypatch.setenv("COMETCHAT_API_KEY", KEY)
    with running_sandbox(app_id="demo") as running:
        running.load_roles(["premium", "moderator"])
        yield running


def _found(where: str, content: bytes) -> list[str]:
    """Name the places where a form of the key stands; also where only a part of it does."""
    text = content.decode("utf-8", "replace").replace("\\/", "/")
    return [f"{where}: {form}" for form in dict.fromkeys(FORMS) if form in text]


def _assert_nowhere(shell: Shell, *results: Result) -> None:
    """Look through both streams of commands, and every file that there is, also inside of what is packed."""
    found = [hit for result in results for hit in _found(str(result.code), f"{result.out}{result.err}".encode())]
    for path in (path for top in (shell.folder, shell.folder.parent / "state") for path in top.rglob("*")):
        if path.is_file():
            raw = path.read_bytes()
            found += _found(str(path), raw)
            if path.suffix == ".gz":
                found += _found(str(path), _unpacked(raw))
    assert not found


def _unpacked(raw: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(raw)


@pytest.mark.parametrize("output", OUTPUTS, ids=" ".join)
def test_no_command_shows_the_key(shell: Shell, drifted: Sandbox, output: list[str]) -> None:
    """Every command in its turn, through a night's whole life."""
    results = [
        shell(*argv, *output)
        for argv in (
            ("doctor",), ("plan",), ("explain", "u1"), ("apply", "--yes", "--limit", "3"), ("apply", "latest", "--yes"),
            ("resume",), ("retry", "latest", "--yes"), ("apply", "--yes"), ("undo", "latest", "--yes"), ("forget", "ada", "--yes"),
        )
    ]  # fmt: skip
    results += [shell("runs"), shell("runs", "--json"), shell("init", "--force")]
    results += [shell("report", "--format", form) for form in ("text", "json", "md", "html", "csv")]

    assert drifted.counters().writes > 0
    assert {result.code for result in results} <= {0, 2, 4, 5}
    _assert_nowhere(shell, *results)


ECHOES = {
    "in its texts": {"code": "ERR_BAD_REQUEST", "message": f"the key {KEY} is bad", "devMessage": KEY},
    "as the code": {"code": KEY, "message": "no"},
    "as a field": {"code": "ERR_BAD_REQUEST", "details": {KEY: ["no"]}},
    "in a field": {"code": "ERR_BAD_REQUEST", "details": {f"{'x' * 40} {KEY}": [KEY], PACKED: [KEY]}},
    "as a reason to stop": {"code": "AUTH_ERR_NO_ACCESS", "message": f"{KEY} may not", "details": {KEY: KEY}},
}


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("echo", ECHOES)
def test_an_answer_that_repeats_the_key_does_not_travel(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, echo: str, status: int
) -> None:
    """CometChat's own error texts do it; a header may, too."""
    monkeypatch.setattr("reconcile.cometchat.client.THROTTLES", 1)
    body = msgspec.json.encode({"error": ECHOES[echo]})
    whole = answer(status, body, x_echo=KEY, location=f"https://127.0.0.1/{KEY}", retry_after="0")
    with serving(lambda line, _: line.sendall(whole)) as server:
        monkeypatch.setenv("COMETCHAT_BASE_URL", server.url)
        results = [shell("apply", "--yes", "--verbose", "--json"), shell("doctor", "--json"), shell("resume")]

    assert results[0].code not in {0, 1}
    _assert_nowhere(shell, *results)


@pytest.mark.parametrize("echo", ["as a field", "in a field", "in its texts"])
def test_a_refused_change_leaves_no_key_in_the_state(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch, echo: str
) -> None:
    """What CometChat says of a change goes into the journal and into every table."""
    body = msgspec.json.encode({"error": ECHOES[echo]})

    def judge(request: Request[T], status: int, raw: bytes) -> Met[T]:
        return judge_answer(request, 400, body) if request.is_write else judge_answer(request, status, raw)

    monkeypatch.setattr("reconcile.cometchat.client.judge_answer", judge)
    result = shell("apply", "--yes", "--verbose", "--json")
    reports = [shell("report", "--format", form) for form in ("text", "json", "md", "html", "csv")]

    assert result.code in {4, 8}  # 50 of one kind stop a run.
    assert result.json["outcomes"]["rejected"] > 0
    _assert_nowhere(shell, result, *reports)


@pytest.mark.parametrize("output", OUTPUTS, ids=" ".join)
@pytest.mark.parametrize("command", ["plan", "apply", "doctor", "explain", "runs", "report", "resume", "forget"])
def test_a_bug_shows_no_key(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch, command: str, output: list[str]
) -> None:
    """Not in the traceback, and not in the report of a run that a bug ended."""

    def burst(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot send {{'apikey': '{KEY}'}} {PACKED} {quote(KEY, safe='')}")

    shell("plan")
    for kind, name in ((Client, "send"), (StateReader, "runs"), (StateReader, "__init__")):
        monkeypatch.setattr(kind, name, burst)
    monkeypatch.setattr("reconcile.cli.running.tell", burst)
    named = {"explain": ["u1"], "forget": ["ada", "--yes"], "apply": ["--yes"]}.get(command, [])
    if command in {"runs", "report"}:  # These take no other flag.
        output = [flag for flag in output if flag == "--json"]
    result = shell(command, *named, *output)

    assert result.code in {1, 7} or (command == "report" and output == ["--json"])
    _assert_nowhere(shell, result)


MISPLACED = [
    ("plan", "--set", KEY), ("plan", "--set", f"cometchat.api_key={KEY}"), ("plan", "--set", f"cometchat.app_id={KEY}"),
    ("plan", "--set", f"cometchat.base_url=https://{KEY}@api.example/v3"), ("plan", "--api-key-file", KEY),
    ("plan", "--config", KEY), ("plan", "--source", KEY), ("plan", "--map", KEY), ("plan", "--map", f"name={KEY}"),
    ("plan", "--release", KEY), ("plan", KEY), (KEY,), ("plan", f"--{KEY}"), ("apply", KEY, "--yes"), ("undo", KEY, "--yes"),
    ("retry", KEY, "--yes"), ("resume", KEY), ("report", KEY), ("explain", KEY), ("forget", KEY, "--yes"),
    ("plan", "--log-format", KEY), ("plan", "--source", f"postgresql://user:{KEY}@127.0.0.1:1/x", "--query", "select 1"),
]  # fmt: skip


@pytest.mark.parametrize("output", [[], ["--json"]], ids=["words", "json"])
@pytest.mark.parametrize("argv", MISPLACED, ids=range(len(MISPLACED)))
def test_a_key_in_the_wrong_place_is_not_repeated(
    shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], output: list[str]
) -> None:
    """Whoever pastes it there sees it once, in his own line."""
    monkeypatch.setattr(logs, "_secrets", {})  # As in a process of its own, that knows no key yet.
    result = shell(*argv, *output)

    assert result.code != 1, result.err
    _assert_nowhere(shell, result)


def test_the_arguments_and_the_environment_of_the_process_are_its_owners(shell: Shell, sandbox: Sandbox) -> None:
    """A key from a file is in neither."""
    (shell.folder.parent / "key").write_text(KEY)
    environ = {name: value for name, value in os.environ.items() if name != "COMETCHAT_API_KEY"}
    sandbox.fault("silence", seconds=60)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    argv = [sys.executable, "-m", "reconcile", "plan", "--api-key-file", str(shell.folder.parent / "key")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as process:
        while not sandbox.counters().requests:
            assert process.poll() is None
        proc = Path(f"/proc/{process.pid}")
        seen = [proc.joinpath(name).read_bytes() for name in ("cmdline", "environ")]
        limits = proc.joinpath("limits").read_text()
        process.kill()
        told = process.communicate()
    resource.setrlimit(resource.RLIMIT_CORE, before)

    assert not [hit for part in (*seen, *told) for hit in _found("process", part)]
    assert re.search(r"Max core file size\s+0 ", limits)


def test_the_samples_hold_no_key() -> None:
    """What this file looks for is really looked for: it is found where it stands."""
    assert _found("x", f"apikey: {KEY}".encode())
    assert _found("x", PACKED.encode())
    assert not _found("x", (SAMPLES / "reconcile.toml").read_bytes())

"""
Promises about the two ways to start a sandbox: `reconcile sandbox` and `python -m reconcile.sandbox`.
"""

import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import httpx
import pytest

from reconcile.cli import run
from reconcile.cli.sandbox import command
from reconcile.config import Flags, load
from reconcile.sandbox import __main__ as door
from reconcile.sandbox import describe
from reconcile.sandbox.keys import FULL_ACCESS_KEY

DOORS = (["reconcile", "sandbox", "--json"], ["reconcile.sandbox"])
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """
    Start a module with arguments, on any free port.
    """
    started: list[subprocess.Popen[str]] = []
    monkeypatch.delenv("COMETCHAT_API_KEY", raising=False)

    def begin(*words: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", *words]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def flags_of_click() -> set[str]:
    """
    Return the long flags of `reconcile sandbox`.
    """
    return {flag for option in command.params if isinstance(option, click.Option) for flag in option.opts}


def test_both_doors_take_the_same_flags() -> None:
    """
    What one can do the other can; only the form of the address is a flag of the first alone.
    """
    of_argparse = {flag for action in door._parser()._actions for flag in action.option_strings}

    assert of_argparse - {"-h", "--help"} == flags_of_click() - {"--json"}


@pytest.mark.parametrize("module", DOORS)
def test_a_door_takes_every_flag(start: Start, tmp_path: Path, module: list[str]) -> None:
    """
    Users, faults, state, switches, delay and TLS, all from the command line.
    """
    users, faults = tmp_path / "users.jsonl", tmp_path / "faults.json"
    state, ca_file = tmp_path / "state.json", tmp_path / "ca.pem"
    users.write_text('{"uid": "ann", "name": "Ann"}\n', encoding="utf-8")
    faults.write_text('[{"kind": "status", "path": "/roles"}]', encoding="utf-8")
    files = [f"--users={users}", f"--faults={faults}", f"--state={state}", f"--ca-file={ca_file}"]
    words = ["--port=0", "--app-id=mine", "--profile=documented", "--switch=create_status=201", "--latency-ms=1"]
    process = start(*module, *files, *words, "--switch", "total=on_request", "--tls", "--no-log")
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    headers, trust = {"apikey": said["api_key"]}, ssl.create_default_context(cafile=said["ca_file"])
    with httpx.Client(base_url=said["url"], headers=headers, verify=trust) as api:
        total = api.get("/users").json()["meta"]["pagination"]["total"]
        created = api.post("/users", json={"uid": "bob", "name": "Bob"}).status_code
        struck = api.get("/roles").status_code
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)

    assert said.keys() == {"url", "api_key", "auth_only_key", "app_id", "ca_file"}
    assert (said["ca_file"], said["url"][:8]) == (str(ca_file), "https://")
    assert (total, created, struck) == (0, 201, 500)
    assert [user["uid"] for user in json.loads(state.read_text())["users"]] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--switch", "metadata_putt=merge"], "'metadata_put'"),
        (["--switch", "metadata_put=marge"], "'merge'"),
        (["--switch", "metadata_put"], "NAME=VALUE"),
        (["--profile", "documentd"], "'documented'"),
        (["--ca-file", "ca.pem"], "TLS"),
        (["--users", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_flags_that_make_no_sense_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flags: list[str], said: str
) -> None:
    """
    Both doors end with a usage error that names the nearest thing there is.
    """
    code, ours = run(["sandbox", "--port", "0", *flags]), capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["sandbox", *flags])
    with pytest.raises(SystemExit) as end:
        door.main()

    assert (code, end.value.code) == (2, 2)
    assert said in ours
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("module", DOORS)
def test_a_door_lists_the_switches(start: Start, module: list[str]) -> None:
    """
    Each with its values, and nothing is served.
    """
    out, _ = start(*module, "--list-switches").communicate(timeout=10)

    assert all(row.name in out and "|".join(row.values) in out for row in describe())


def test_the_instructions_are_what_another_terminal_needs(start: Start) -> None:
    """
    They set the address, the app, the key, and the file to trust.
    """
    process = start("reconcile", "sandbox", "--port=0", "--tls", "--app-id=mine")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    exports = dict(line.split()[1].split("=", 1) for line in lines if line.startswith("  export "))
    source = {"RECONCILE_SOURCE__LOCATION": "users.csv", "RECONCILE_FIELDS__UID": "uid"}
    settings = load(Flags(), exports | source).cometchat

    assert (exports["COMETCHAT_API_KEY"], settings.app_id) == (FULL_ACCESS_KEY, "mine")
    assert settings.base_url.startswith("https://127.0.0.1:")
    assert Path(settings.ca_file).is_file()


def test_help_loads_no_server() -> None:
    """
    Asking what the flags are costs no import of what serves.
    """
    heavy = "{'uvicorn', 'starlette', 'msgspec', 'trustme', 'reconcile.sandbox'}"
    code = (
        f"import sys; from reconcile.cli import run; run(['sandbox', '-h']); print(sys.modules.keys() & {heavy})"
    )
    line = [sys.executable, "-c", code]
    out = subprocess.run(line, capture_output=True, text=True, timeout=30, check=True).stdout

    assert "--list-switches" in out
    assert out.endswith("set()\n")

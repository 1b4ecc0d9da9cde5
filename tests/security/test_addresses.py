"""The addresses of [notify] stand in no byte that a command writes, and CometChat's key is never sent to one."""

import base64
import os
import zlib
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from reconcile.sandbox.testing import Sandbox
from tests.conftest import SAMPLES, Result, Shell
from tests.ears import Ear, listening
from tests.security.servers import answer, serving

TOKEN = "c0ffee9f-31c7-4a1b-9d7e-5b1e70b5c0de"
FORMS = (TOKEN, TOKEN[:20], TOKEN[-20:], base64.b64encode(TOKEN.encode()).decode().rstrip("="))
EXPORT = "".join((SAMPLES / "users.csv").read_text("utf-8").splitlines(keepends=True)[:3])
KEYS = ("ping", "ping_start", "ping_success", "ping_failure", "webhook")


@pytest.fixture
def ear() -> Iterator[Ear]:
    """A server that takes everything."""
    with listening() as running:
        yield running


def _tell(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for key in KEYS:
        monkeypatch.setenv(f"RECONCILE_NOTIFY__{key.upper()}", f"{url}/{key}/{TOKEN}?t={TOKEN}")
    monkeypatch.setenv("RECONCILE_NOTIFY__WHEN", "always")
    if find_spec("apprise") is not None:
        place = url.removeprefix("http://")
        monkeypatch.setenv("RECONCILE_NOTIFY__APPRISE", f"json://{place}/{TOKEN} nonsense://{TOKEN}")


def _assert_nowhere(shell: Shell, *results: Result) -> None:
    """Look through both streams, and every file that there is, also inside of what is packed."""
    said = {str(number): f"{result.out}{result.err}".encode() for number, result in enumerate(results)}
    for top in (shell.folder, shell.folder.parent / "state"):
        for path in (path for path in top.rglob("*") if path.is_file()):
            raw = path.read_bytes()
            said[str(path)] = zlib.decompressobj(wbits=31).decompress(raw) if path.suffix == ".gz" else raw
    assert [(where, form) for where, text in said.items() for form in FORMS if form.encode() in text] == []


COMMANDS = (
    ("plan",),
    ("apply", "--yes"),
    ("doctor",),
    ("doctor", "--notify"),
    ("report", "--format", "json"),
    ("runs",),
)
ANSWERS = {
    "a refusal that repeats it": answer(500, TOKEN.encode(), x_echo=TOKEN),
    "a redirect with it": answer(302, location=f"http://127.0.0.1/{TOKEN}"),
    "no HTTP": b"HTTP/9 " + TOKEN.encode(),
    "nothing": b"",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("output", [["--json"], ["--verbose", "--log-format", "console"]], ids=" ".join)
@pytest.mark.parametrize("answered", ANSWERS)
def test_no_command_shows_an_address(
    shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, answered: str, output: list[str]
) -> None:
    """However those who are told answer; also where they repeat it."""
    shell.write("users.csv", EXPORT)
    with serving(lambda line, _: line.sendall(ANSWERS[answered])) as peer:
        _tell(monkeypatch, peer.url.removesuffix("/v3"))
        results = [shell(*argv, *(output if argv[0] in {"plan", "apply"} else [])) for argv in COMMANDS]

    assert TOKEN.encode() in b"".join(peer.asked)
    assert [result.code for result in results] == [0] * len(COMMANDS)
    _assert_nowhere(shell, *results)


@pytest.mark.parametrize(
    "slip",
    [
        ("--set", f"notify.ping=https://hc.example/{TOKEN}"), ("--set", f'notify.apprise=["slack://{TOKEN}"]'),
        ("--set", f"notify.pong=https://hc.example/{TOKEN}"), ("--set", f"notify=https://hc.example/{TOKEN}"),
        ("--config", "literal.toml"), ("--config", "unknown.toml"), ("--config", "typed.toml"),
    ],
    ids=range(7),
)  # fmt: skip
def test_an_address_in_the_wrong_place_is_not_repeated(
    shell: Shell, sandbox: Sandbox, slip: tuple[str, ...]
) -> None:
    """Whoever writes it there is told where, and not what."""
    files = {
        "literal.toml": f'[notify]\nwebhook = "https://hc.example/{TOKEN}"\n',
        "unknown.toml": f'[notify]\nwebhok = "https://hc.example/{TOKEN}"\n',
        "typed.toml": f'[notify]\nwebhook = {{ url = "https://hc.example/{TOKEN}" }}\n',
    }
    for name, text in files.items():
        shell.write(name, text)
    result = shell("plan", *slip)
    for name in files:
        (shell.folder / name).unlink()

    assert result.code == 2
    _assert_nowhere(shell, result)


def test_the_key_is_sent_to_nobody_who_is_told(
    shell: Shell, sandbox: Sandbox, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a header, not in a body; and an address that holds it is refused before anything leaves."""
    shell.write("users.csv", EXPORT)
    _tell(monkeypatch, ear.url)
    monkeypatch.delenv("RECONCILE_NOTIFY__APPRISE", raising=False)
    key = os.environ["COMETCHAT_API_KEY"]
    assert shell("apply", "--yes").code == 0
    sent = [f"{request.path}{request.headers}".encode() + request.body for request in ear.heard]
    ear.heard.clear()
    (shell.folder.parent / "key").write_text(key)
    monkeypatch.setenv("RECONCILE_NOTIFY__WEBHOOK", f"{ear.url}/{key}")
    by_variable = shell("apply", "--yes")
    monkeypatch.delenv("COMETCHAT_API_KEY")
    by_file = shell("apply", "--yes", "--api-key-file", str(shell.folder.parent / "key"))

    assert len(sent) == 3
    assert all(key.encode() not in whole and b"apikey" not in whole.lower() for whole in sent)
    assert [by_variable.code, by_file.code] == [2, 2]
    assert "the API key stands in an address of [notify]" in by_file.err
    assert ear.heard == []
    assert key not in by_variable.err + by_file.err

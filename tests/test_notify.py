"""Promises about who is told how a run went: what, when, and that it never does a run any harm."""

import socket
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from reconcile import apply as apply_function
from reconcile import courier, notify
from reconcile.core.report import GuardLine
from reconcile.core.summary import Known, Summary, change_of, said, summary_of
from reconcile.errors import ExitCode, Interrupted, RunLocked, SettingsError
from reconcile.run import real_world
from reconcile.sandbox.testing import Sandbox, running_sandbox
from reconcile.settings import Notify, Secret, Settings
from tests.conftest import Shell
from tests.ears import Ear, listening
from tests.report.builders import a_report
from tests.security.servers import serving

EXPORT = "uid,name\nkiwi,Kiwi\nplum,Plum\n"
DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def ear() -> Iterator[Ear]:
    """Somebody to tell."""
    with listening() as running:
        yield running


@pytest.fixture
def job(shell: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A job of two users that pings, and has a webhook."""
    (shell.folder / "reconcile.toml").unlink()
    shell.write("users.csv", EXPORT)
    monkeypatch.setenv("COMETCHAT_APP_ID", "demo")
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", "users.csv")
    monkeypatch.setenv("RECONCILE_NOTIFY__PING", f"{ear.url}/ping/c0ffee")
    monkeypatch.setenv("RECONCILE_NOTIFY__WEBHOOK", f"{ear.url}/hook?token=c0ffee")
    return shell


def night(job: Shell, *flags: str, code: int = 0) -> None:
    """Apply once, and see that it ends as it should."""
    result = job("apply", "--yes", *flags)
    assert result.code == code, (result.out, result.err)


# What and when


def test_a_run_pings_at_its_start_and_at_its_end(job: Shell, ear: Ear) -> None:
    """As Healthchecks wants it: the address itself is the success."""
    night(job)
    assert ear.paths() == ["/ping/c0ffee/start", "/ping/c0ffee"]

    night(job, "--source", "absent.csv", code=6)
    assert [path for path in ear.paths() if "hook" not in path] == ["/ping/c0ffee/start", "/ping/c0ffee/fail"]


@pytest.mark.parametrize("command", ["plan", "apply", "resume", "retry", "undo"])
def test_every_command_that_has_a_run_pings(job: Shell, ear: Ear, sandbox: Sandbox, command: str) -> None:
    """Also those that go on with another."""
    if command == "resume":
        sandbox.fault("status", code=403, error="AUTH_ERR_NO_ACCESS", method="POST", path="/users", nth=2)
        night(job, code=8)
        sandbox.clear_faults()
    elif command != "plan":
        night(job)
    ear.paths()
    run_id = (job.folder / "runs" / "latest").resolve().name
    argv = {"plan": [], "apply": ["--yes"], "resume": []}.get(command, [run_id, "--yes"])
    result = job(command, *argv)

    assert result.code == 0, (result.out, result.err)
    assert ear.paths()[0] == "/ping/c0ffee/start"


def test_each_ping_may_have_an_address_of_its_own(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """For monitors that count in another way; with a query string the address keeps it."""
    monkeypatch.setenv("RECONCILE_NOTIFY__PING", f"{ear.url}/ping?create=1")
    monkeypatch.setenv("RECONCILE_NOTIFY__PING_SUCCESS", f"{ear.url}/push?status=up")
    monkeypatch.setenv("RECONCILE_NOTIFY__PING_FAILURE", f"{ear.url}/push?status=down")
    night(job)
    night(job, "--expect-rows", "9", code=6)

    assert [path for path in ear.paths() if "hook" not in path] == [
        "/ping/start?create=1", "/push?status=up", "/ping/start?create=1", "/push?status=down",
    ]  # fmt: skip


def test_only_a_change_is_told_over_many_nights(job: Shell, ear: Ear) -> None:
    """Good, good, bad, bad, bad in another way, good, good; a dry run in between is a matter of its own."""
    bad, worse = ("--source", "absent.csv"), ("--set", "guards.create={percent=0, floor=0}")
    told = []
    for flags, code in [((), 0), ((), 0), (bad, 6), (bad, 6), (worse, 5), ((), 0), ((), 0)]:
        if code == 5:
            job.write("users.csv", EXPORT + "fig,Fig\n")
        night(job, *flags, code=code)
        told.append([(message["change"], message["verdict"]) for message in ear.messages()])
        assert job("plan").code == 0
        assert ear.messages() == []

    assert told == [
        [], [], [("failed", "source_refused")], [], [("failed_otherwise", "held")], [("recovered", "applied")], [],
    ]  # fmt: skip


def test_a_message_knows_the_state_before(job: Shell, ear: Ear) -> None:
    """With its run, so that both can be looked up."""
    night(job, "--source", "absent.csv", code=6)
    night(job)
    failed, recovered = ear.messages()

    assert failed["previous"] is None
    assert recovered["previous"] == {
        name: failed[name] for name in ("run_id", "verdict", "exit_code", "finished_at")
    }
    assert recovered["counts"]["outcomes.applied"] == recovered["counts"]["plan.create"] == 2


def test_every_night_is_told_where_that_is_wanted(job: Shell, ear: Ear) -> None:
    """Good ones, too."""
    for _ in range(2):
        night(job, "--set", "notify.when=always")

    assert [(message["exit_code"], message["change"]) for message in ear.messages()] == [(0, "none")] * 2


@pytest.mark.parametrize(
    ("breakage", "code", "verdict"),
    [("no key", 2, "refused"), ("no app", 2, "refused"), ("no state", 2, "refused"), ("locked", 9, "locked")],
)
def test_a_run_that_cannot_be_opened_is_told_too(
    job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch, breakage: str, code: int, verdict: str
) -> None:
    """Once, and so is that it works again."""
    night(job)
    ear.paths()
    flags = ["--require-state"] if breakage == "no state" else []
    with monkeypatch.context() as broken:
        if breakage == "locked":
            broken.setattr("reconcile.run.hold", _refuse)
        elif breakage == "no state":
            (job.folder / "runs" / "state.sqlite").unlink()
        else:
            broken.delenv({"no key": "COMETCHAT_API_KEY", "no app": "COMETCHAT_APP_ID"}[breakage])
        night(job, *flags, code=code)
        first = list(ear.heard)
        night(job, *flags, code=code)
    (message,) = ear.messages()
    night(job)

    assert [request.path for request in first if request.method == "GET"][-1] == "/ping/c0ffee/fail"
    assert (message["run_id"], message["verdict"], message["change"]) == (None, verdict, "failed")
    assert [message["change"] for message in ear.messages()] == ["recovered"]


def _refuse(*_: object) -> None:
    raise RunLocked("another run holds the lock")


def test_a_bug_is_told(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the run in which it was met, and without its words."""

    def burst(*_: object) -> None:
        raise RuntimeError("kiwi")

    monkeypatch.setattr("reconcile.pipeline.read_source", burst)
    night(job, code=1)
    (message,) = ear.messages()

    assert message["verdict"] == "inconsistent"
    assert message["run_id"] == next(path.name for path in (job.folder / "runs").glob("2*"))
    assert "kiwi" not in msgspec.json.encode(message).decode()


def test_a_change_that_could_not_be_told_is_told_the_next_time(job: Shell, ear: Ear) -> None:
    """Who was away for a night hears of it, and of an end that was never told nothing comes back."""
    ear.status = lambda path: 403 if "hook" in path else 200
    night(job, "--source", "absent.csv", code=6)
    assert len(ear.messages()) == 1
    ear.status = lambda _path: 200
    night(job, "--source", "absent.csv", code=6)

    assert [message["change"] for message in ear.messages()] == ["failed"]


def test_the_functions_tell_as_the_commands_do(job: Shell, ear: Ear, capsys: pytest.CaptureFixture[str]) -> None:
    """And print nothing."""
    ear.status = lambda path: 403 if "hook" in path else 200
    assert apply_function(settings={"source.location": "absent.csv"}).report.exit_code == 6
    assert sorted(ear.paths()) == ["/hook?token=c0ffee", "/ping/c0ffee/fail", "/ping/c0ffee/start"]
    with pytest.raises(SettingsError):
        apply_function(environ={"COMETCHAT_APP_ID": "demo", "RECONCILE_NOTIFY__PING": f"{ear.url}/p"})
    assert ear.paths() == ["/p/start", "/p/fail"]
    assert capsys.readouterr() == ("", "")


# No harm


def _a_port_without_a_server() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_nobody_there_changes_nothing(job: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of the log, a note on stderr, the same exit code."""
    monkeypatch.setenv("RECONCILE_NOTIFY__PING", f"{_a_port_without_a_server()}/c0ffee")
    result = job("apply", "--yes", "--json")

    assert result.code == 0
    assert result.json["verdict"] == "applied"
    assert result.err.count("note: notify.ping (start) failed: it cannot be reached") == 1
    assert result.err.count('"event": "notify.failed"') == 2


@pytest.mark.parametrize(("status", "tries"), [(500, 2), (429, 2), (404, 1), (302, 1), (308, 1)])
def test_a_refusal_is_tried_again_where_that_may_help(job: Shell, ear: Ear, status: int, tries: int) -> None:
    """Once. A redirect is followed nowhere."""
    ear.status = lambda path: status if "hook" in path else 200
    result = job("apply", "--yes", "--set", "notify.when=always")

    assert result.code == 0
    assert f"notify.webhook failed: it answered {status}" in result.err
    assert ear.paths().count("/hook?token=c0ffee") == tries
    assert "/elsewhere" not in ear.paths()


def test_a_server_that_is_silent_is_not_waited_for(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two tries of the start, and no more than the whole time that telling may take at the end."""
    monkeypatch.setattr(courier, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(notify, "LONGEST_S", 0.6)
    ear.status = lambda _path: None
    result = job("apply", "--yes", "--set", "notify.when=always")

    assert result.code == 0
    assert "notify.ping (success) failed: no" in result.err
    assert "notify.webhook failed: no" in result.err
    assert [request.path for request in ear.heard].count("/ping/c0ffee/start") == 2


def test_whoever_waits_for_the_end_waits_less(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C or SIGTERM the process is to be gone soon, told or not."""
    monkeypatch.setattr(notify, "HASTE_S", 0.6)
    ear.status = lambda _path: None
    settings = Settings(notify=Notify(ping_failure=Secret(f"{ear.url}/c0ffee")))
    world, notes = real_world({}), list[str]()
    began = world.monotonic()
    with pytest.raises(Interrupted), notify.telling("apply", settings, world, notes.append):
        raise Interrupted(ExitCode.SIGTERM)

    assert world.monotonic() - began < courier.TIMEOUT_S
    assert notes == ["note: notify.ping_failure failed: no end within 1 s; the run is not affected"]


def test_a_server_that_drips_is_not_waited_for(job: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the answer never."""
    monkeypatch.setattr(notify, "LONGEST_S", 0.6)
    over = threading.Event()

    def drip(line: socket.socket, _: bytes) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            line.sendall(b"x: y\r\n")

    with serving(drip) as server:
        monkeypatch.setenv("RECONCILE_NOTIFY__PING", server.url)
        result = job("apply", "--yes")
        over.set()

    assert result.code == 0
    assert result.err.count("failed: no end within 1 s") == 2


def test_what_is_remembered_can_be_lost(job: Shell, ear: Ear) -> None:
    """A file that is broken or cannot be written costs a message too many, and no run."""
    night(job)
    memory = job.folder / "runs" / notify.MEMORY
    memory.write_bytes(b"{half")
    night(job, "--source", "absent.csv", code=6)
    memory.unlink()
    memory.symlink_to("elsewhere")
    result = job("apply", "--yes", "--source", "absent.csv")

    assert [message["change"] for message in ear.messages()] == ["failed", "failed"]
    assert result.code == 6
    assert "notify.not_remembered" in result.err


# Nobody is named


def test_no_user_is_in_what_leaves(job: Shell, ear: Ear) -> None:
    """Not a uid, not a name, not a value: numbers, classes and commands alone."""
    flags = ("--set", 'guards.sentinels=["sentinel-7"]', "--set", "notify.when=always")
    night(job, *flags, code=6)
    night(job, "--set", "notify.when=always")
    job.write("users.csv", EXPORT.replace("Plum", "Prune") + "fig,\n,Nobody\n")
    night(
        job,
        "--set",
        "guards.update={percent=0, floor=0}",
        "--set",
        "notify.when=always",
        "--accept-source",
        code=5,
    )
    bodies = b"".join(request.body for request in ear.heard).lower()

    assert len(ear.messages()) == 3
    for word in (b"kiwi", b"plum", b"prune", b"fig", b"sentinel-7", b"nobody"):
        assert word not in bodies


def test_a_summary_takes_over_no_text_that_may_name_somebody() -> None:
    """Of all texts of a report, the headline alone, which is made of numbers."""
    guards = {"sentinels": GuardLine(0, None, 1, "held", "", "Plum is missing")}
    report = a_report(app_id="demo", headline="Numbers.", guards=guards, exit_code=6, verdict="source_refused")

    assert "Plum" in msgspec.json.encode(report).decode()
    assert "Plum" not in msgspec.json.encode(summary_of(report)).decode() + "".join(said(summary_of(report)))


def test_the_schema_of_the_message_is_documented() -> None:
    """Every key has a line in docs/nightly.md, and no other has."""
    lines = (DOCS / "nightly.md").read_text("utf-8").partition("### What a message holds")[2].splitlines()
    named = [line.split("`")[1] for line in lines if line.startswith("| `")]

    assert sorted(named) == sorted(Summary.__struct_fields__)


@pytest.mark.parametrize(
    ("before", "code", "change"),
    [(None, 0, "none"), (None, 6, "failed"), (0, 0, "none"), (0, 4, "failed"), (4, 4, "none"),
     (4, 8, "failed_otherwise"), (8, 0, "recovered")],
)  # fmt: skip
def test_a_change_is_of_the_exit_code(before: int | None, code: int, change: str) -> None:
    """Where nothing is known, the run before is taken for good."""
    known = None if before is None else Known("r", "v", before, "t")

    assert change_of(known, code) == change


# Looked at, and told on purpose


def _found(job: Shell, *flags: str, code: int = 0) -> dict[str, str]:
    result = job("doctor", "--json", *flags)
    assert result.code == code, result.out
    findings = [finding for finding in result.json["findings"] if finding["what"] == "notify"]
    assert all(finding["level"] == "ok" or finding["remedy"] for finding in findings)
    return {finding["words"]: finding["level"] for finding in findings}


def test_the_doctor_looks_and_sends_nothing(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection and not one request; what cannot be reached or used is a warning, because a run goes on without."""
    monkeypatch.setenv("RECONCILE_NOTIFY__PING_FAILURE", f"{_a_port_without_a_server()}/c0ffee")
    found = _found(job)

    assert found == {
        "ping: it can be reached; nothing was sent": "ok",
        "ping_failure: it cannot be reached; nothing was sent": "warn",
        "webhook: it can be reached; nothing was sent": "ok",
    }
    assert ear.heard == []


def test_the_doctor_tells_once_where_it_is_asked_to(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a success, which wakes nobody, and by words that say what it is; an alarm is not set off."""
    monkeypatch.setenv("RECONCILE_NOTIFY__PING_START", f"{ear.url}/begins")
    ear.status = lambda path: 404 if "hook" in path else 201
    found = _found(job, "--notify")
    asked = {request.path: request for request in ear.heard}

    assert found == {
        "ping (success): it answered 201; a test was sent": "ok",
        "ping_start: it can be reached; nothing was sent": "ok",
        "webhook: it answered 404; a test was sent": "warn",
    }
    assert asked.keys() == {"/ping/c0ffee", "/hook?token=c0ffee"}
    message = msgspec.convert(asked["/hook?token=c0ffee"].json, Summary)
    assert (message.verdict, message.run_id, message.change) == ("test", None, "none")
    assert not (job.folder / "runs" / notify.MEMORY).exists()


def test_the_next_run_tells_as_if_no_test_had_been(job: Shell, ear: Ear) -> None:
    """A failure that was told is a failure still."""
    night(job, "--source", "absent.csv", code=6)
    _found(job, "--notify")
    ear.messages()
    night(job)

    assert [message["change"] for message in ear.messages()] == ["recovered"]


def test_the_doctor_says_where_nobody_is_told(job: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without being asked for a message."""
    monkeypatch.delenv("RECONCILE_NOTIFY__PING")
    monkeypatch.delenv("RECONCILE_NOTIFY__WEBHOOK")

    for flags in ((), ("--notify",)):
        assert _found(job, *flags) == {"nobody is told how a run went: [notify] names no address": "ok"}


def test_the_doctor_believes_no_certificate_that_proves_nothing(
    job: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so without a request; behind a proxy only a message shows whether it arrives."""
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running_sandbox(tls=True) as server:
        monkeypatch.setenv("RECONCILE_NOTIFY__PING", server.base_url)
        untrusted = _found(job)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
        trusted = _found(job)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("RECONCILE_NOTIFY__PING", "https://birds.example/c0ffee")
    proxied = _found(job)

    assert "ping: its certificate is not believed; nothing was sent" in untrusted
    assert "ping: it can be reached, and its certificate is believed; nothing was sent" in trusted
    assert "ping: not tried: there is a proxy on the way; nothing was sent" in proxied


@pytest.mark.skipif(find_spec("apprise") is None, reason="the extra is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_doctor_asks_apprise(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it can use an address; and with --notify, whether it delivered."""
    place = ear.url.removeprefix("http://")
    monkeypatch.setenv("RECONCILE_NOTIFY__APPRISE", f"json://{place}/c0ffee nonsense://c0ffee")
    looked = _found(job)
    assert ear.heard == []
    told = _found(job, "--notify")

    assert looked["apprise, address 1: Apprise can use this address; nothing was sent"] == "ok"
    assert looked["apprise, address 2: Apprise cannot use this address; nothing was sent"] == "warn"
    assert told["apprise, address 1: Apprise delivered it; a test was sent"] == "ok"
    assert told["apprise, address 2: Apprise cannot use this address; a test was sent"] == "warn"


# Settings


LITERAL = "https://hc.example/3f9a-c0ffee-c0ffee-c0ffee"


@pytest.mark.parametrize("key", ["ping", "ping_start", "ping_success", "ping_failure", "webhook", "apprise"])
def test_an_address_stands_in_no_file_and_no_argument(job: Shell, ear: Ear, key: str) -> None:
    """It is refused there with the remedy, and not repeated."""
    value = f'["{LITERAL}"]' if key == "apprise" else f'"{LITERAL}"'
    job.write("own.toml", f"[notify]\n{key} = {value}\n")
    for flags in (["--config", "own.toml"], ["--set", f"notify.{key}={value}"]):
        result = job("plan", "--json", *flags)

        assert result.code == 2
        assert f"notify.{key} is a secret" in result.json["errors"][0]["message"]
        assert f"RECONCILE_NOTIFY__{key.upper()}" in result.json["errors"][0]["hint"]
        assert "c0ffee" not in result.out + result.err
    assert ear.heard == []


def test_an_address_comes_from_a_variable(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole, or a part of it; one that is empty is none."""
    job.write("own.toml", '[notify]\nping = "${BASE}/ping/${TOKEN}"\nwebhook = "${NONE}"\nwhen = "always"\n')
    for name, value in {"BASE": ear.url, "TOKEN": "t0ken-t0ken", "NONE": ""}.items():
        monkeypatch.setenv(name, value)
    for name in ("PING", "WEBHOOK"):
        monkeypatch.delenv(f"RECONCILE_NOTIFY__{name}")
    night(job, "--config", "own.toml")

    assert ear.paths() == ["/ping/t0ken-t0ken/start", "/ping/t0ken-t0ken"]
    monkeypatch.delenv("TOKEN")
    assert "notify.ping names ${TOKEN}, which is not set" in job("plan", "--config", "own.toml").err


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://hc.example/c0ffee", "would travel unprotected"), ("ftp://hc.example/c0ffee", "would travel unprotected"),
        ("https://user:c0ffee@hc.example/", "is more than scheme"), ("https://hc.example/c0ffee d", "is more than scheme"),
        ("https://hc.example\\@evil.example/c0ffee", "is more than scheme"), ("c0ffee", "is more than scheme"),
        ("https://hc.example/#c0ffee", "is more than scheme"), ("https://[c0ffee/", "is not a URL"),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(
    job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    """Before anything is sent, and without being repeated."""
    monkeypatch.setenv("RECONCILE_NOTIFY__WEBHOOK", address)
    result = job("plan")

    assert result.code == 2
    assert words in result.err
    assert "c0ffee" not in result.err
    assert ear.heard == []


def test_a_run_that_goes_on_tells_those_of_today(
    job: Shell, ear: Ear, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses are not recorded with a run."""
    sandbox.fault("status", code=403, error="AUTH_ERR_NO_ACCESS", method="POST", path="/users", nth=2)
    night(job, code=8)
    sandbox.clear_faults()
    ear.paths()
    monkeypatch.setenv("RECONCILE_NOTIFY__PING", f"{ear.url}/today")
    assert job("resume").code == 0

    assert sorted(ear.paths()) == ["/hook?token=c0ffee", "/today", "/today/start"]


# Apprise

apprise = pytest.mark.skipif(find_spec("apprise") is None, reason="apprise is an extra: pip install apprise")
# One of its many parts uses a module that Python gives up.
quietly = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@apprise
@quietly
def test_apprise_delivers_what_changed(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """To each address, and where one does not take it the note says which; the others do not hear it twice."""
    place = ear.url.removeprefix("http://")
    monkeypatch.delenv("RECONCILE_NOTIFY__WEBHOOK")
    monkeypatch.setenv("RECONCILE_NOTIFY__APPRISE", f"json://{place}/one json://{place}/two")
    ear.status = lambda path: 500 if path.startswith("/two") else 200
    result = job("apply", "--yes", "--source", "absent.csv", "--quiet")
    bodies = [request.json for request in ear.heard if request.path.startswith("/one")]

    assert result.code == 6
    assert [(body["title"], body["type"]) for body in bodies] == [
        ("reconcile apply, app demo: source_refused", "failure")
    ]
    assert "look at the export" in bodies[0]["message"]
    assert "Exit code 6, run 2" in bodies[0]["message"]
    assert result.err.count("notify.apprise, address 2 failed: Apprise could not deliver it") == 1
    assert "address 1" not in result.err
    ear.paths()
    night(job, "--source", "absent.csv", code=6)
    assert ear.paths() == ["/ping/c0ffee/start", "/ping/c0ffee/fail"]
    night(job)
    assert [path for path in ear.paths() if path.startswith("/one")] == ["/one"]


@apprise
@quietly
def test_an_address_that_apprise_does_not_know_is_noted(job: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address itself is not repeated."""
    monkeypatch.setenv("RECONCILE_NOTIFY__APPRISE", '["nonsense://c0ffee"]')
    result = job("apply", "--yes", "--set", "notify.when=always")

    assert result.code == 0
    assert "notify.apprise, address 1 failed: Apprise cannot use this address" in result.err
    assert "c0ffee" not in result.err


def test_apprise_that_is_missing_is_a_clear_error(job: Shell, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the run, with the remedy."""
    monkeypatch.setattr("reconcile.objections.find_spec", lambda _name: None)
    monkeypatch.setenv("RECONCILE_NOTIFY__APPRISE", "json://127.0.0.1/x")
    result = job("plan")

    assert result.code == ExitCode.USAGE
    assert "notify.apprise needs the package apprise" in result.err
    assert "pip install" in result.err
    assert ear.heard == []

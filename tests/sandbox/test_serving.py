"""
Promises about starting and stopping: in a block, as a fixture, and as a process of its own.
"""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconcile.sandbox import Sandbox, running_sandbox
from reconcile.sandbox.testing import cometchat_sandbox

__all__ = ["cometchat_sandbox"]

ANN = {"uid": "ann", "name": "Ann", "createdAt": 5}
Start = Callable[..., tuple[subprocess.Popen[str], dict[str, Any]]]


@pytest.fixture
def start() -> Iterator[Start]:
    """
    Start `python -m reconcile.sandbox` with flags; returns the process and what it said.
    """
    started: list[subprocess.Popen[str]] = []

    def run(*flags: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        command = [sys.executable, "-m", "reconcile.sandbox", *flags]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline() or "{}")

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_fixture_is_an_empty_app(cometchat_sandbox: Sandbox) -> None:
    """
    A test that asks for `cometchat_sandbox` gets one.
    """
    url = f"{cometchat_sandbox.base_url}/users"

    assert cometchat_sandbox.users() == {}
    assert httpx.get(url, headers={"apikey": cometchat_sandbox.api_key}).status_code == 200


def test_two_sandboxes_stand_beside_each_other() -> None:
    """
    Each has a port and an app of its own.
    """
    with running_sandbox() as one, running_sandbox() as other:
        one.load_users([ANN])

        assert one.base_url != other.base_url
        assert (list(one.users()), list(other.users())) == (["ann"], [])


def test_a_stopped_sandbox_leaves_nothing_behind() -> None:
    """
    After the block the port is closed and the thread is gone, even with a request on hold.
    """
    with running_sandbox() as sandbox:
        sandbox.fault("silence", seconds=60)
        headers = {"apikey": sandbox.api_key}
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{sandbox.base_url}/roles", headers=headers, timeout=0.05)

    assert not [thread for thread in threading.enumerate() if thread.name == f"sandbox {sandbox.base_url}"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(sandbox.base_url)


def test_half_a_request_is_none(sandbox: Sandbox) -> None:
    """
    A client that goes away in the middle of its body leaves nothing, not even a count.
    """
    url = httpx.URL(sandbox.base_url)
    head = f"POST /v3/users HTTP/1.1\r\nhost: x\r\napikey: {sandbox.api_key}\r\ncontent-length: 99\r\n\r\n{{"
    with socket.create_connection((url.host, url.port or 0)) as client:
        client.sendall(head.encode())
    httpx.get(f"{sandbox.base_url}/roles")

    assert sandbox.counters().by_method == {"GET": 1}


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("GET /v3/users/\u00e4", 400, "ERR_BAD_REQUEST"),
        ("hello", 400, "ERR_BAD_REQUEST"),
        ("OPTIONS *", 404, "ERR_API_NOT_FOUND"),
        ("CONNECT x:1", 404, "ERR_API_NOT_FOUND"),
    ],
)
def test_what_is_hardly_http_is_answered_in_json(sandbox: Sandbox, target: str, status: int, code: str) -> None:
    """
    A client that decides on `data` and `error` finds one of them, whatever it sent.
    """
    url = httpx.URL(sandbox.base_url)
    head = f"{target} HTTP/1.1\r\nhost: x\r\napikey: {sandbox.api_key}\r\nconnection: close\r\n\r\n"
    with socket.create_connection((url.host, url.port or 0)) as client, client.makefile("rb") as answer:
        client.sendall(head.encode())
        top, body = answer.read().split(b"\r\n\r\n")

    assert int(top.split()[1]) == status
    assert b"application/json" in top
    assert json.loads(body)["error"]["code"] == code


def test_a_defect_of_the_sandbox_is_answered_in_json(
    api: httpx.Client, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A user that no JSON can show is a 500 with an envelope, and the reason goes to the log.
    """
    sandbox.load_users([ANN | {"metadata": {"a": object()}}])
    answer = api.get("/users/ann")

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "ERR_EXCEPTION")
    assert "TypeError" in caplog.text
    assert sandbox.log()[-1].status == 500


def test_the_log_can_be_turned_off_and_cleared_from_the_handle(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A load test counts its requests and keeps none; clearing forgets the counts, too.
    """
    sandbox.keep_log(keep=False)
    api.get("/roles")
    counted = sandbox.counters().requests
    sandbox.clear_log()

    assert (sandbox.log(), counted, sandbox.counters().requests) == ([], 1, 0)


def test_a_log_that_is_off_stays_off_after_a_reset() -> None:
    """
    A reset goes back to the options that the sandbox started with.
    """
    with running_sandbox(keep_log=False) as sandbox:
        sandbox.reset()
        httpx.get(f"{sandbox.base_url}/roles")

        assert (sandbox.log(), sandbox.counters().requests) == ([], 1)


def test_a_file_of_users_is_checked_line_by_line(tmp_path: Path) -> None:
    """
    What is no user is told with its line.
    """
    users = tmp_path / "users.jsonl"
    users.write_text('{"uid": "a", "name": "A"}\n{"uid": "b"}\n', encoding="utf-8")

    with pytest.raises(ValueError, match="line 2"), running_sandbox(users=users):
        pass


def test_a_taken_port_is_an_error(sandbox: Sandbox) -> None:
    """
    Starting on a port that is in use fails at once.
    """
    port = httpx.URL(sandbox.base_url).port
    with pytest.raises(OSError, match="in use"), running_sandbox(port=port):
        pass


def test_many_writers_at_once_lose_nothing(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Requests from several threads, and the handle beside them, see one consistent app.
    """

    def write(writer: int) -> None:
        for n in range(20):
            api.post("/users", json={"uid": f"u{writer}-{n}", "name": "U"})
            sandbox.users()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(sandbox.users()) == sandbox.counters().by_status["200"] == 80


def test_a_killed_sandbox_has_kept_its_state(start: Start, tmp_path: Path) -> None:
    """
    A state is written while the sandbox serves, so that SIGKILL costs the last seconds at most.
    """
    state = tmp_path / "state.json"
    process, said = start("--state", str(state))
    with httpx.Client(base_url=said["url"], headers={"apikey": said["api_key"]}) as api:
        api.post("/users", json={"uid": "bob", "name": "Bob"})
    patience = time.monotonic() + 30
    while not (state.exists() and b"bob" in state.read_bytes()):
        assert time.monotonic() < patience, "nothing was written"
        time.sleep(0.02)  # noqa: TID251 - another process is at work
    process.kill()
    process.wait()

    with running_sandbox(state=state) as again:
        assert list(again.users()) == ["bob"]


def test_a_process_serves_until_it_is_told_to_stop(start: Start, tmp_path: Path) -> None:
    """
    It says where it listens, takes its flags, stops at SIGTERM, and keeps its state.
    """
    users, faults, state = tmp_path / "users.jsonl", tmp_path / "faults.json", tmp_path / "state.json"
    users.write_text(json.dumps(ANN) + "\n\n", encoding="utf-8")
    faults.write_text('[{"kind": "status", "path": "/roles"}]', encoding="utf-8")
    flags = ["--app-id", "mine", "--users", users, "--faults", faults, "--state", state, "--latency-ms", "1"]
    process, said = start(*map(str, flags), "--profile", "documented", "--switch", "create_status=201", "--no-log")
    with httpx.Client(base_url=said["url"], headers={"apikey": said["api_key"], "appid": "mine"}) as api:
        listed = api.get("/users").json()["meta"]["pagination"]["total"]
        created = api.post("/users", json={"uid": "bob", "name": "Bob"}).status_code
        struck = api.get("/roles").status_code
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=5) == -signal.SIGTERM
    assert said.keys() == {"url", "api_key", "auth_only_key", "app_id"}
    assert (said["app_id"], listed, created, struck) == ("mine", 1, 201, 500)
    with running_sandbox(state=state) as again:
        again.load_roles(["pro"])
        assert list(again.users()) == ["ann", "bob"]
    with running_sandbox(state=state) as third:
        assert third.roles().keys() == {"default", "pro"}

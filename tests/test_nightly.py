"""The samples for every night are run: what a scheduler would execute is executed here, against the sandbox."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconcile.report.metrics import render_metrics
from reconcile.sandbox.testing import Sandbox
from tests.conftest import SAMPLES, Shell
from tests.docs.pages import fenced
from tests.ears import Ear, listening
from tests.lacking import tracer
from tests.report.builders import a_report

ROOT = SAMPLES.parent
NIGHTLY = SAMPLES / "nightly"
SETTINGS = """\
[cometchat]
app_id = "demo"

[source]
location = "users.csv"

[notify]
ping = "${PING_URL}"
"""
ENDED = "2026-11-23T02:16:00+00:00"
# What cron, systemd and a runner start with.
BARE = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "reconcile", "LANG": "C.UTF-8"}


def text_of(name: str) -> str:
    """Read a sample."""
    return (NIGHTLY / name).read_text("utf-8")


class Machine:
    """A folder in the place of /srv/reconcile: settings, export, key, an `environment`, and .venv/bin/reconcile."""

    def __init__(self, shell: Shell, sandbox: Sandbox, ear: Ear) -> None:
        self.shell, self.ear, self.folder = shell, ear, shell.folder
        shell.write("reconcile.toml", SETTINGS)
        shell.write("users.csv", "uid,name\nkiwi,Kiwi\nplum,Plum\n")
        shell.write("apikey", sandbox.api_key)
        self.environ = {
            "COMETCHAT_BASE_URL": sandbox.base_url,
            "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"],
            "PING_URL": os.environ["PING_URL"],
        }
        lines = [*self.environ.items(), ("COMETCHAT_API_KEY_FILE", str(self.folder / "apikey"))]
        shell.write("environment", "".join(f"{name}={value}\n" for name, value in lines))
        command = self.folder / ".venv" / "bin" / "reconcile"
        command.parent.mkdir(parents=True)
        command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m reconcile "$@"\n')
        command.chmod(0o755)

    def run(self, script: str, *shell: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Execute a script as a scheduler does, with nothing of this process's environment."""
        return subprocess.run(
            [*(shell or ("/bin/sh", "-c")), script],
            env=BARE | {"HOME": str(self.folder)} | environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def first_night(self) -> None:
        """Leave the state that --require-state asks for."""
        assert self.shell("apply", "--yes").code == 0
        self.ear.paths()


@pytest.fixture
def machine(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine whose nights have not begun."""
    with listening() as ear:
        monkeypatch.setenv("PING_URL", f"{ear.url}/ping")
        yield Machine(shell, sandbox, ear)


def test_the_line_of_the_crontab_runs_in_what_cron_gives_it(machine: Machine) -> None:
    """Without a state it refuses, as it says; with the one of a first run it is a night like every other."""
    (line,) = [line for line in text_of("crontab").splitlines() if re.match(r"\d", line)]
    command = line.split(maxsplit=5)[5].replace("/srv/reconcile", str(machine.folder))
    refused = machine.run(command)
    machine.first_night()
    done = machine.run(command)

    assert "%" not in command  # cron would end the line there
    assert refused.returncode == 2
    assert "--require-state asks for one" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("In step")
    assert machine.ear.paths() == ["/ping/start", "/ping"]


def _only_looks() -> bool:
    """Whether this machine's `crontab -n` looks at a file and leaves it: to others than Debian's it means something else."""
    if not shutil.which("crontab"):
        return False
    said = subprocess.run(["crontab", "-?"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return "dry run" in said.stdout + said.stderr


@pytest.mark.skipif(not _only_looks(), reason="there is no cron that only looks; on Debian: apt-get install cron")
def test_cron_takes_the_lines(tmp_path: Path) -> None:
    """Those of the sample, and those that stand in a page; a line that is none shows that it would say so."""
    files = {
        "sample": text_of("crontab"),
        **{fence.page.replace("/", "-"): fence.text for fence in fenced("cron")},
    }
    files["bad"] = "15 25 * * *  true\n"
    judged = {}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        judged[name] = subprocess.run(
            ["crontab", "-n", tmp_path / name], capture_output=True, check=False
        ).returncode

    assert judged == {**dict.fromkeys(files, 0), "bad": 1}


@pytest.mark.parametrize("page", ["README.md", "docs/since.md"])
def test_the_cron_lines_of_a_page_run(machine: Machine, page: str) -> None:
    """In what cron gives them, with the settings that the page has, in their order."""
    lines = [line for fence in fenced("cron", page) for line in fence.text.splitlines() if re.match(r"\d", line)]
    settings = "".join(fence.text for fence in fenced("toml", page)[:1])
    _fill(machine.folder / "users.db")
    given = machine.environ | {
        "COMETCHAT_API_KEY_FILE": str(machine.folder / "apikey"),
        "DATABASE_URL": f"sqlite:///{machine.folder}/users.db",
    }
    if settings:
        machine.shell.write("reconcile.toml", f'[cometchat]\napp_id = "demo"\n{settings}{MAPPED}')
    for line in lines:
        command = line.split(maxsplit=5)[5]
        placed = re.sub("/srv/reconcile|/etc/reconcile", lambda _: str(machine.folder), command)
        done = machine.run(placed, **given)
        assert done.returncode == 0, done.stderr

    assert lines


def unit(name: str) -> list[tuple[str, str]]:
    """Read a unit: its keys and values in order."""
    lines = [line for line in text_of(name).splitlines() if line and line[0] not in "#["]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


class Unit:
    """The service with its places in the machine's folder, and what systemd gives its command."""

    def __init__(self, machine: Machine) -> None:
        self.keys = dict(unit("reconcile.service"))
        here, var = str(machine.folder), str(machine.folder / "var")
        self._places = {"%S": var, "/var/lib": var, "/srv/reconcile": here, "/etc/reconcile": here}
        state, _, value = self.placed(self.keys["Environment"]).partition("=")
        (machine.folder / "var" / self.keys["StateDirectory"]).mkdir(parents=True)
        self.given = {**machine.environ, state: value, "CREDENTIALS_DIRECTORY": here}
        self.command = self.placed(self.keys["ExecStart"])
        self.first = self.command.replace(" --require-state", "")

    def placed(self, text: str) -> str:
        """Put the folder where the unit has a path."""
        return re.sub("|".join(self._places), lambda found: self._places[found[0]], text)


def test_the_command_of_the_unit_runs_with_the_credential_of_systemd(machine: Machine) -> None:
    """The key is found where LoadCredential= puts it, and all that is written is below the StateDirectory=."""
    service = Unit(machine)
    first = machine.run(service.first, **service.given)
    second = machine.run(service.command, **service.given)
    before = {"reconcile.toml", "reconcile-sql.toml", "users.csv", "apikey", "environment", ".venv", "var"}

    assert service.keys["LoadCredential"].startswith("apikey:")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert {path.name for path in machine.folder.iterdir()} == before
    assert {path.name for path in (machine.folder / "var" / "reconcile").iterdir()} == {"runs", "reconcile"}


def test_a_command_by_hand_finds_what_the_unit_left(machine: Machine) -> None:
    """It is run as the same user, with the same key, folder and environment, and the state of the unit is its own."""
    (line,) = re.findall(r"systemd-run (.+)", re.sub(r" \\\n# +", " ", text_of("reconcile.service")))
    options, _, command = line.partition("/srv/reconcile/")
    given = dict(pair.split("=", 1) for pair in re.findall(r" -p (\S+)", options))
    (environ,) = re.findall(r"-E (\S+)", options)
    service = Unit(machine)
    night = machine.run(service.first, **service.given)
    by_hand = machine.run(service.placed(f"/srv/reconcile/{command}"), **service.given)

    assert given.pop("User") + ".service" == "reconcile.service"
    assert given.items() <= service.keys.items()
    assert service.placed(environ) == service.placed(service.keys["Environment"])
    assert (night.returncode, by_hand.returncode) == (0, 0), night.stderr + by_hand.stderr
    assert by_hand.stdout == "Nothing to finish.\n"


def _let_through() -> list[str]:
    """Give the names of the system calls that the unit allows, by the groups of this machine's systemd."""
    said = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    bare = re.sub(" +#.*\n", "", said)
    groups = {name: lines.split() for name, lines in re.findall(r"^(@\S+)\n((?: +.*\n)+)", bare, re.MULTILINE)}

    def expanded(names: str) -> set[str]:
        return {
            call
            for name in names.split()
            for call in (expanded(" ".join(groups[name])) if name in groups else {name})
        }

    allowed, denied = (value for key, value in unit("reconcile.service") if key == "SystemCallFilter")
    assert denied[0] == "~"
    return sorted(expanded(allowed) - expanded(denied[1:]))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd: apt-get install systemd")
def test_the_command_of_the_unit_does_without_the_system_calls_that_are_denied(machine: Machine) -> None:
    """A tracer answers them as the unit has it; NumPy makes one whenever it is imported."""
    strace = tracer()
    service = Unit(machine)
    error = service.keys.get("SystemCallErrorNumber")
    rest = "!" + ",".join(f"?{call}" for call in _let_through())
    inject = f"inject={rest}:{f'error={error}' if error else 'signal=SYS'}"
    traced = [strace, "--seccomp-bpf", "-f", "-q", "-o", "calls", "-e", f"trace={rest}", "-e", inject]
    done = machine.run(f"exec {service.first}", *traced, "/bin/sh", "-c", **service.given)

    assert done.returncode == 0, done.stderr
    assert "INJECTED" in (machine.folder / "calls").read_text("utf-8")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd: apt-get install systemd")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Every key and every value; the timer goes off at night, and the service is shut in."""
    for name in ("reconcile.service", "reconcile.timer"):
        (tmp_path / name).write_text(text_of(name).replace("/srv/reconcile/.venv/bin/reconcile", sys.executable))
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    judged = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    when = subprocess.run(
        ["systemd-analyze", "calendar", dict(unit("reconcile.timer"))["OnCalendar"]],
        capture_output=True,
        check=False,
    )

    assert (judged.returncode, judged.stderr) == (0, "")
    assert when.returncode == 0


WORKFLOW = "github-actions.yml"
_EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")


class Runner:
    """A runner of GitHub, as far as the shell steps need one."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.steps = {step.get("name", step.get("uses")): step for step in _job()["steps"]}
        self.output, self.summary = machine.folder / "output", machine.folder / "summary"

    def night(self, **inputs: str) -> int:
        """Do the steps after the cache came back, and give the exit code of the job."""
        self.output.write_text("")
        self.summary.write_text("")
        shutil.rmtree(self.machine.folder / "report", ignore_errors=True)
        values = {
            "secrets.COMETCHAT_API_KEY": (self.machine.folder / "apikey").read_text(),
            "secrets.DATABASE_URL": "",
            "secrets.PING_URL": self.machine.environ["PING_URL"],
            "inputs.command || 'apply'": inputs.get("command", "apply"),
            "inputs.first || false": inputs.get("first", "false"),
        }
        assert self._step("Run", values) == 0
        assert self._step("Summary", values) == 0
        (values["steps.run.outputs.code"],) = re.findall(r"code=(\d+)", self.output.read_text())
        return self._step("End as reconcile did", values)

    def _step(self, name: str, values: Mapping[str, str]) -> int:
        step = self.steps[name]
        environ = {
            key: _EXPRESSION.sub(lambda found: values[found[1]], text) for key, text in step.get("env", {}).items()
        }
        files = {"GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(self.summary)}
        given = self.machine.environ | files | environ
        return self.machine.run(step["run"], "/bin/bash", "-e", "-c", **given).returncode


def _job() -> Any:
    return yaml.safe_load(text_of(WORKFLOW))["jobs"]["reconcile"]


def test_the_steps_of_the_workflow_make_nights(machine: Machine) -> None:
    """A first one, one that looks, and one that lost its cache; the summary is always that of this night."""
    runner = Runner(machine)
    assert runner.night(first="true") == 0
    assert "2 of 2 changes made" in runner.summary.read_text()
    assert {"report.html", "report.json", "changes.csv"} <= {
        path.name for path in (machine.folder / "report").iterdir()
    }

    for path in (machine.folder / "report").iterdir():
        assert b"kiwi" not in path.read_bytes().lower(), path.name

    machine.shell.write("users.csv", "uid,name\nkiwi,Kiwi\nplum,Prune\n")
    assert runner.night(command="plan") == 3
    assert "1 to update" in runner.summary.read_text()

    shutil.rmtree(machine.folder / "runs")
    assert runner.night() == 2
    assert runner.summary.read_text() == "No run was opened; the log of the step says why.\n"
    assert list((machine.folder / "report").iterdir()) == []
    assert machine.ear.paths() == [
        "/ping/start",
        "/ping",
        "/ping/start",
        "/ping/fail",
        "/ping/start",
        "/ping/fail",
    ]


def test_no_step_of_the_workflow_puts_an_expression_into_a_script() -> None:
    """What comes from outside goes through the environment; the state is kept however the run ended."""
    steps = _job()["steps"]
    saved = next(step for step in steps if "cache/save" in step.get("uses", ""))
    restored = next(step for step in steps if "cache/restore" in step.get("uses", ""))

    assert not [step["name"] for step in steps if "${{" in step.get("run", "")]
    assert saved["with"]["path"] == restored["with"]["path"] == "runs"
    assert saved["with"]["key"] == restored["with"]["key"]
    assert saved["if"].startswith("${{ always()")


def test_the_container_of_the_cron_job_runs_with_its_own_settings(
    machine: Machine, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its arguments, its environment and the settings of its ConfigMap, with the mounts in folders here."""
    settings, claim, job = yaml.safe_load_all(text_of("kubernetes-cronjob.yaml"))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    pod_root = machine.folder / "pod"
    mounts = {mount["mountPath"]: pod_root / mount["name"] for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    for folder in mounts.values():
        folder.mkdir(parents=True)

    def placed(text: str) -> str:
        return re.sub("|".join(f"{path}(?=/)" for path in mounts), lambda found: str(mounts[found[0]]), text)

    ((name, toml),) = settings["data"].items()
    machine.shell.write(f"pod/settings/{name}", placed(toml).replace("YOUR_APP_ID", "demo"))
    (item,) = volumes["apikey"]["secret"]["items"]
    machine.shell.write(f"pod/apikey/{item['path']}", sandbox.api_key)
    _fill(machine.folder / "users.db")
    secret = {"database-url": f"sqlite:///{machine.folder}/users.db", "ping-url": machine.environ["PING_URL"]}
    monkeypatch.delenv("COMETCHAT_API_KEY")
    for variable in container["env"]:
        source = variable.get("valueFrom", {}).get("secretKeyRef", {})
        monkeypatch.setenv(
            variable["name"], placed(variable["value"]) if "value" in variable else secret[source["key"]]
        )
    args = [placed(arg) for arg in container["args"]]
    first = machine.shell(*(arg for arg in args if arg != "--require-state"))
    second = machine.shell(*args)

    assert (first.code, second.code) == (0, 0), first.err
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert {path.name for path in (pod_root / "data").iterdir()} == {"runs"}
    assert machine.ear.paths() == ["/ping/start", "/ping"] * 2
    assert job["spec"]["concurrencyPolicy"] == "Forbid"


MAPPED = '[fields]\nuid = "id"\nname = "full_name"\n'


def _fill(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(
            "CREATE TABLE users (id TEXT, full_name TEXT, avatar_url TEXT, plan TEXT, deleted_at TEXT)"
        )
        connection.execute("CREATE VIEW chat_users AS SELECT *, '2026-11-23T02:15:00Z' AS updated_at FROM users")
        connection.execute("INSERT INTO users VALUES ('kiwi', 'Kiwi', '', 'premium', NULL)")
    connection.close()


def test_the_image_has_all_that_its_command_needs(machine: Machine) -> None:
    """The files that it copies suffice, without anything of an installed package; nothing runs as root."""
    lines = re.sub(r"\\\n", " ", text_of("Dockerfile")).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and line[0] != "#"]
    copies = [words.split() for step, words in steps if step == "COPY" and not words.startswith("--from")]
    last = dict(steps[max(number for number, (step, _) in enumerate(steps) if step == "FROM") :])
    image = machine.folder / "image"
    for source, target in copies:
        place = image / target.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.mkdir(parents=True)
            shutil.copy(ROOT / source, place)
    environ = dict(pair.split("=", 1) for pair in last["ENV"].split())
    python, *words = yaml.safe_load(last["ENTRYPOINT"]) + yaml.safe_load(last["CMD"])
    command = " ".join([sys.executable, *words])
    path = str(image / environ["PYTHONPATH"].lstrip("/"))
    given = {**machine.environ, "COMETCHAT_API_KEY_FILE": str(machine.folder / "apikey"), "PYTHONPATH": path}
    where = machine.run(f"{sys.executable} -c 'import reconcile; print(reconcile.__file__)'", **given)
    done = machine.run(command, **given)

    assert where.stdout.startswith(path)
    assert done.returncode == 0, done.stderr
    assert last["USER"].split(":")[0] not in {"0", "root"}
    assert python == "/opt/venv/bin/python"
    assert environ["XDG_STATE_HOME"].startswith("/data/")
    assert [
        words for step, words in steps if step == "RUN" and "install " in words and "--require-hashes" in words
    ]


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool: apt-get install prometheus")
def test_prometheus_takes_the_rules_and_they_go_off_when_they_should(tmp_path: Path) -> None:
    """With the very lines that a run writes, over days that are made up."""
    shutil.copy(NIGHTLY / "alerts.yml", tmp_path)
    shutil.copy(ROOT / "tests" / "alerts_test.yml", tmp_path)
    for words in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        judged = subprocess.run(["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert judged.returncode == 0, judged.stdout + judged.stderr
    text = render_metrics(a_report("demo"), ENDED, ENDED, {"core": 1.0})
    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    assert linted.returncode == 0, linted.stderr


def test_every_rule_asks_for_metrics_that_there_are() -> None:
    """By their names and labels."""
    written = render_metrics(a_report("demo"), ENDED, ENDED, {"core": 1.0})
    known = set(re.findall(r"^(reconcile_[a-z_]+)\{", written, re.MULTILINE))
    rules = [rule for group in yaml.safe_load(text_of("alerts.yml"))["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"reconcile_[a-z_]+", rule["expr"])}

    assert asked
    assert asked <= known
    assert all(rule["annotations"]["summary"] for rule in rules)

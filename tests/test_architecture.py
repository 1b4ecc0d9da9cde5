"""Promises about the house itself: what imports what, what is said of each part, and what is nowhere in it."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import click
import pytest

from reconcile import __version__
from reconcile.cli import cli
from reconcile.errors import ExitCode
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "reconcile"
MODULES = sorted(PACKAGE.rglob("*.py"))
JOB = [path for path in MODULES if "sandbox" not in path.relative_to(PACKAGE).parts[0]]
COMMANDS = cli.list_commands(click.Context(cli))
HEAVY = {
    "pandas", "numpy", "httpx", "structlog", "sqlalchemy", "rich", "jinja2", "pyarrow", "tenacity", "starlette", "uvicorn",
    "psycopg", "pymysql", "trustme",
}  # fmt: skip
SHELLS = ("bash", "zsh", "fish")


def name_of(path: Path) -> str:
    """Give a module's place in the package."""
    return str(path.relative_to(PACKAGE))


# Words


def undocumented(node: ast.AST, name: str) -> Iterator[str]:
    """Give what is public below a node and has no docstring."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            is_public = not child.name.startswith("_")
            if is_public and not ast.get_docstring(child) and not _is_overload(child):
                yield f"{name}.{child.name}"
            if is_public and isinstance(child, ast.ClassDef):
                yield from undocumented(child, f"{name}.{child.name}")


def _is_overload(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(decorator, ast.Name) and decorator.id == "overload" for decorator in node.decorator_list)


@pytest.mark.parametrize("path", JOB, ids=name_of)
def test_everything_public_says_what_it_is(path: Path) -> None:
    """Modules, classes, functions and methods."""
    tree = ast.parse(path.read_text("utf-8"))

    assert ast.get_docstring(tree) or not tree.body, name_of(path)
    assert list(undocumented(tree, name_of(path))) == []


# Start-up

_LOADED = """
import json, sys
from reconcile.cli import run
code = run(sys.argv[1:])
print("\\n" + json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
_TOLD = 'import json; print("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))'


def loaded_by(*argv: str) -> tuple[str, int, set[str]]:
    """Run a command in a process of its own; give what it printed, its exit code, and the packages it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *argv], capture_output=True, text=True, timeout=60, check=True
    )
    printed, _, last = done.stdout.rstrip().rpartition("\n")
    code, modules = json.loads(last)
    return printed, code, set(modules)


@pytest.mark.parametrize(
    "argv", [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)], ids=" ".join
)
def test_help_is_there_at_once(argv: tuple[str, ...]) -> None:
    """Nothing heavy is loaded to say how a command is called."""
    printed, code, modules = loaded_by(*argv)

    assert HEAVY & modules == set()
    assert code == 0
    assert printed.strip()


@pytest.mark.parametrize("shell_name", SHELLS)
@pytest.mark.parametrize("step", ["source", "complete"])
def test_completion_is_there_at_once(shell_name: str, step: str) -> None:
    """A key is pressed and the shell waits; both its script and each of its questions are light."""
    words = {"COMP_WORDS": "reconcile plan --s", "COMP_CWORD": "--s" if shell_name == "fish" else "2"}
    asked = {**os.environ, **words, "_RECONCILE_COMPLETE": f"{shell_name}_{step}"}
    code = f"import sys\ntry:\n    import reconcile.cli as c\n    c.run([])\nexcept SystemExit:\n    {_TOLD}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=asked
    )
    printed, _, modules = done.stdout.rstrip().rpartition("\n")

    assert HEAVY & set(json.loads(modules)) == set()
    assert ("_RECONCILE_COMPLETE" if step == "source" else "--since") in printed


@pytest.mark.parametrize("argv", [("runs",), ("runs", "--json"), ("resume",)], ids=" ".join)
@pytest.mark.parametrize("is_first", [True, False], ids=["no run", "a run"])
def test_looking_at_runs_does_not_wait_for_pandas(
    shell: Shell, drifted: Sandbox, argv: tuple[str, ...], *, is_first: bool
) -> None:
    """There is a state file to read, and no more."""
    assert is_first or shell("plan", "--quiet").code == 0
    _, code, modules = loaded_by(*argv)

    assert code == 0
    assert HEAVY & modules <= ({"structlog", "rich"} if argv == ("resume",) else set())


@pytest.mark.parametrize("form", ["text", "json", "md", "html", "csv"])
def test_a_report_is_shown_again_without_the_libraries_that_made_it(
    shell: Shell, drifted: Sandbox, form: str
) -> None:
    """Its files are there, and the text comes from one of them."""
    assert shell("plan", "--quiet").code == 0
    printed, code, modules = loaded_by("report", "--format", form)

    assert code == 0
    assert printed.strip()
    assert HEAVY & modules == set()


@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes")], ids=["plan", "apply"])
def test_a_run_from_a_file_loads_no_database_no_server_and_no_cluster(
    shell: Shell, drifted: Sandbox, command: tuple[str, ...]
) -> None:
    """Each kind of source brings its own library, and the sandbox is for those who ask for it."""
    _, code, modules = loaded_by(*command, "--quiet")

    assert code in {0, 4}
    strangers = {
        "sqlalchemy",
        "psycopg",
        "pymysql",
        "starlette",
        "uvicorn",
        "trustme",
        "distributed",
        "dask",
        "fsspec",
    }
    assert strangers & modules == set()


@pytest.mark.parametrize("argv", [(), ("nonsense",), ("plan", "--nonsense")], ids=" ".join)
def test_a_slip_of_the_keyboard_does_not_wait_for_pandas(argv: tuple[str, ...]) -> None:
    """It is told soon, too."""
    _, code, modules = loaded_by(*argv)

    assert HEAVY & modules == set()
    assert code == 2


def test_the_help_lists_every_exit_code_and_every_command() -> None:
    """With its meaning, and in the order in which they count."""
    printed, _, _ = loaded_by("--help")
    shown = " ".join(printed.split())

    assert __version__ in loaded_by("--version")[0]
    for code in ExitCode:
        assert f" {int(code)} {code.meaning}" in shown
    for name in COMMANDS:
        assert re.search(rf"^ +{name} ", printed, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    """In its own help."""
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert command.help


@pytest.mark.parametrize("name", COMMANDS)
def test_no_flag_takes_the_key_itself(name: str) -> None:
    """Arguments are seen by everybody on the machine."""
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert not {"--api-key", "--apikey", "--key", "--password", "--token"} & {
        spelling for option in command.params for spelling in option.opts
    }


# What imports what


def test_the_import_contracts_are_kept() -> None:
    """All of them."""
    code = "from importlinter.cli import lint_imports_command as command; command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


# What is nowhere

_FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "telnetlib", "xmlrpc"}
_FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "pd.read_pickle",
}


def offences(tree: ast.AST) -> Iterator[str]:
    """Give what a piece of code has that it may not have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in _FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _FORBIDDEN_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            # A method may be called so; the builtin and the modules' own may not.
            if name in _FORBIDDEN_CALLS:
                yield name
            yield from (
                f"{name}({keyword.arg}=...)"
                for keyword in node.keywords
                if keyword.arg in {"shell", "verify", "follow_redirects"}
                and isinstance(keyword.value, ast.Constant)
                and keyword.value.value is (keyword.arg != "verify")
            )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_could_run_foreign_code_is_nowhere(path: Path) -> None:
    """No unpickling, no eval, no shell; no redirect is followed, and no certificate believed."""
    assert list(offences(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from pickle import loads", "eval('1')", "exec('1')", "yaml.load(x)", "subprocess.run('x', shell=True)",
     "httpx.Client(verify=False)", "httpx.Client(follow_redirects=True)", "import yaml.loader"],
)  # fmt: skip
def test_the_check_itself_finds_what_it_looks_for(code: str) -> None:
    """A check that finds nothing anywhere proves nothing."""
    assert len(list(offences(ast.parse(code)))) == 1


def test_permanent_deletion_does_not_exist() -> None:
    """The word that asks the service for it is in none of the job's own texts."""
    for path in JOB:
        texts = [
            node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)
        ]

        assert "permanent" not in texts, name_of(path)


# What is installed

LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-docs.lock"]
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(\[[a-z,]+\])?==[^\s;]+( ; [^\\]+)?( \\)?$")


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash_and_no_address(name: str) -> None:
    """Whoever serves the files, they are those that were tried."""
    text = (ROOT / name).read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    pins = [number for number, line in enumerate(lines) if not line.startswith(" ")]

    assert len(pins) > 10
    assert "://" not in text
    assert "--index-url" not in text
    for start, end in zip(pins, [*pins[1:], len(lines)], strict=True):
        assert _PIN.match(lines[start]), lines[start]
        assert end > start + 1, lines[start]
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines[start + 1 : end])


def test_every_dependency_is_pinned() -> None:
    """Those that the package names."""
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    named = {
        re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower()
        for line in requires("cometchat-reconcile") or []
        if "extra ==" not in line
    }

    assert named
    assert named <= pinned

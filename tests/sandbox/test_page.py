"""
Promises about docs/sandbox.md: it names everything there is, and nothing else.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import httpx
import msgspec
import pytest

from reconcile.cli.sandbox import command
from reconcile.sandbox import Options, Sandbox, describe
from reconcile.sandbox.catalogue import markdown_table, profile_table
from reconcile.sandbox.control import control_routes
from reconcile.sandbox.faults import Fault, Latency, read_faults
from reconcile.sandbox.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")
GRADES = {"recorded", "documented", "inferred", "disputed", "unknown"}


def section(heading: str) -> str:
    """
    Return a part of the page, up to the next heading of its rank.
    """
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str, columns: int) -> Iterator[list[str]]:
    """
    Yield the cells of each row of the tables with so many columns, headings left out.
    """
    before: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        if line.startswith("|") and len(cells) == columns and before[:1] != [line] and "---" not in line:
            yield cells
        before = [line]


def words(cell: str) -> list[str]:
    """
    Return what stands as code in a cell.
    """
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("table", [markdown_table, profile_table])
def test_the_tables_of_switches_are_up_to_date(table: Any) -> None:
    """
    To renew one, put what its function returns in its place.
    """
    assert f"{table.__name__}() -->\n{table()}\n" in PAGE


def test_every_behaviour_has_a_grade_and_every_switch_a_behaviour() -> None:
    """
    A switch turns some line of the page, and its default is as sure there as in its own table.
    """
    behaviours = [row for row in rows(section("What it does"), 3) if row[0] != "behaviour"]
    switches = {row.name: row.ask.confidence for row in describe()}
    graded = [(re.findall(r"\w+", grade), words(switch)) for _, grade, switch in behaviours]

    assert all(grades and set(grades) <= GRADES for grades, _ in graded)
    assert {name for _, names in graded for name in names} == switches.keys()
    assert [
        (names, grades) for grades, names in graded if any(switches[name] not in grades for name in names)
    ] == []


def test_every_fault_stands_there_with_every_parameter_and_an_example() -> None:
    """
    The example is one, the parameters are all of them, and so are the rules that they share.
    """
    faults = {row[0].strip("`"): row for row in rows(section("Faults"), 4) if row[0] != "kind"}
    shared = {row[0].strip("`") for row in rows(section("Faults"), 3) if row[0] != "rule"}
    rules = set(Latency.__struct_fields__) - {"low_ms", "high_ms"}

    assert shared == rules
    assert faults.keys() == {kind.__struct_config__.tag for kind in get_args(Fault)}
    for kind in get_args(Fault):
        _, _, parameters, example = faults[str(kind.__struct_config__.tag)]
        assert set(kind.__struct_fields__) - rules <= set(words(parameters)), kind
        assert type(msgspec.json.decode(words(example)[0], type=Fault)) is kind


def test_every_list_of_faults_can_be_ordered() -> None:
    """
    The blocks of JSON are files for --faults.
    """
    blocks = re.findall(r"```json\n(.*?)```", section("Faults"), re.DOTALL)

    assert [len(read_faults(block.encode())) for block in blocks] == [6, 3]


def test_every_route_of_the_control_api_stands_there() -> None:
    """
    With the method of the handle that does the same.
    """
    shown = [row for row in rows(section("The control API"), 3) if row[0] != "route"]
    routes = {f"{method} {route.path}" for route in control_routes(World()) for method in route.methods or ()}
    methods = {name for name in vars(Sandbox) if not name.startswith("_")}

    assert {route for route, _, _ in shown} == routes - {r for r in routes if r.startswith("HEAD ")}
    assert {name.split("(")[0] for _, _, cell in shown for name in words(cell)} == methods


def test_every_flag_and_every_option_stands_there() -> None:
    """
    Those of the command in their table, those of `running_sandbox` in its sentence.
    """
    table = {words(row[0])[0].split()[0] for row in rows(section("How to use it"), 2) if row[0] != "flag"}
    flags = {flag for option in command.params if isinstance(option, click.Option) for flag in option.opts}
    sentence = section("How to use it").split("`running_sandbox(...)` takes")[1].split(".")[0]

    assert table == flags
    assert set(words(sentence)) == set(Options.__dataclass_fields__)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/log", {"keep": False}),
        ("PUT", "/limits", {"core": 500}),
        ("PUT", "/switches", {"create_status": "201"}),
        ("PUT", "/profile", "hostile"),
        ("PUT", "/keys", {"auth_only": "..."}),
        ("PUT", "/clock", {"now": 1700000000}),
        ("PUT", "/clock", {"advance": 60}),
        ("PUT", "/clock", {"run": True}),
        ("POST", "/roles", [{"role": "premium"}]),
        ("POST", "/faults", [{"kind": "reset", "method": "PUT", "nth": 3}]),
    ],
)
def test_what_the_page_sends_is_taken(control: httpx.Client, method: str, path: str, body: object) -> None:
    """
    Every body that it shows for the control API is one.
    """
    assert json.dumps(body) in PAGE
    assert control.request(method, path, json=body).status_code == 200

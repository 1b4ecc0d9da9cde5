"""Every error message that the code can raise, read out of the code itself."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconcile import errors

__all__ = ["HOLE", "Found", "found", "raised_elsewhere"]

PACKAGE = Path(__file__).parent.parent / "reconcile"
HOLE = "…"  # what differs from one time to the next
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.ReconcileError)
}
# Where (what, remedy) pairs are collected that end as one SettingsError.
_PAIRS = {"config.py", "core/review.py", "fields.py", "keys.py", "objections.py", "scaffold.py"}

Node = ast.AST


@dataclass(frozen=True, slots=True)
class Found:
    """
    A message with holes where something is put in, its remedy (None where that is made elsewhere), and its exit code.

    `said` is the expression that the message is.
    """

    place: str
    said: str
    message: str
    remedy: str | None
    exit_code: int


def found() -> list[Found]:
    """Give every message that is written out where it is raised, or just before."""
    return [
        one
        for path in sorted(PACKAGE.rglob("*.py"))
        for one in _of_module(str(path.relative_to(PACKAGE)), ast.parse(path.read_text("utf-8")))
    ]


def raised_elsewhere() -> set[tuple[str, str]]:
    """Give every error whose message is not written out where it is made: the module, and what the message is there."""
    calls = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in KINDS
                and node.args
            ):
                calls.add((str(path.relative_to(PACKAGE)), ast.unparse(node.args[0])))
    written = {(one.place, one.said) for one in found()}
    return calls - written


def _of_module(place: str, tree: ast.Module) -> Iterator[Found]:
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        local = _assigned(function)
        for node in _own(function):
            if isinstance(node, ast.Call):
                yield from _of_call(place, node, local, constants)
        if place in _PAIRS:
            yield from _pairs(place, function, local, constants)


def _own(function: ast.FunctionDef) -> Iterator[Node]:
    """Walk a function, but not the functions in it."""
    todo: list[Node] = list(function.body)
    while todo:
        node = todo.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef):
            todo += list(ast.iter_child_nodes(node))


def _assigned(function: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    local: dict[str, list[ast.expr]] = {}
    for node in _own(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            local.setdefault(node.targets[0].id, []).append(node.value)
    return local


def _of_call(
    place: str, call: ast.Call, local: dict[str, list[ast.expr]], constants: dict[str, ast.expr]
) -> Iterator[Found]:
    name = (
        call.func.id
        if isinstance(call.func, ast.Name)
        else call.func.attr
        if isinstance(call.func, ast.Attribute)
        else ""
    )
    code = 2
    if name in KINDS:
        code = int(KINDS[name].exit_code)
    elif name not in {"BadParameter", "fail", "refusal"}:
        return
    if name == "refusal":
        code = 6
    if not call.args:
        return
    remedies = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
    remedy = _texts(remedies[0], local, constants) if remedies else []
    for message in _texts(call.args[0], local, constants):
        if message.strip(HOLE + " "):
            yield Found(place, ast.unparse(call.args[0]), message, remedy[0] if len(remedy) == 1 else None, code)


def _pairs(
    place: str, function: ast.FunctionDef, local: dict[str, list[ast.expr]], constants: dict[str, ast.expr]
) -> Iterator[Found]:
    for pair in (pair for node in _own(function) for pair in _pairs_of(node)):
        if len(pair) == 2:
            remedy = _texts(pair[1], local, constants)
            for message in _texts(pair[0], local, constants):
                if " " in message.strip(HOLE):
                    yield Found(place, ast.unparse(pair[0]), message, remedy[0] if len(remedy) == 1 else None, 2)


def _pairs_of(node: Node) -> list[list[ast.expr]]:
    """Give what may be pairs: what is appended, checked or returned."""
    match node:
        case ast.Call(func=ast.Attribute(attr="append"), args=args):
            return [arg.elts for arg in args if isinstance(arg, ast.Tuple)]
        case ast.Call(func=ast.Name(id="check"), args=[_, *pair]):
            return [pair]
        case ast.Return(value=ast.List(elts=items)):
            return [item.elts for item in items if isinstance(item, ast.Tuple)]
        case ast.Return(value=ast.ListComp(elt=ast.Tuple(elts=pair)) | ast.Tuple(elts=pair)):
            return [pair]
        case _:
            return []


def _texts(node: ast.expr, local: dict[str, list[ast.expr]], constants: dict[str, ast.expr]) -> list[str]:
    """Give the texts that an expression may be; a hole for what cannot be told."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            parts = [part.value if isinstance(part, ast.Constant) else HOLE for part in values]
            return ["".join(map(str, parts))]
        case ast.Name(id=name) if name in local:
            return [text for value in local[name] for text in _texts(value, {}, constants)]
        case ast.Name(id=name) if name in constants:
            return _texts(constants[name], {}, {})
        case _:
            return [HOLE]

"""Small faults in a module's source, one at a time: what a slip of the hand could have made of it."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARE = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_BINARY = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


@dataclass(frozen=True)
class Mutant:
    """One fault: in which line, what was changed, and the whole source with it."""

    line: int
    what: str
    source: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every fault that is tried: comparisons, `and`, `or`, `not`, arithmetic, constants, returns, statements left out.

    Docstrings, annotations, messages (texts with a space) and lines of logging are left alone.
    """
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    sites = [(number, n) for number, node in enumerate(_own(tree)) for n in range(len(list(_changes(node))))]
    for number, n in sites:
        changed = copy.deepcopy(tree)
        node = list(_own(changed))[number]
        before = ast.unparse(node)
        line = node.lineno  # type: ignore[attr-defined]
        list(_changes(node))[n](changed)
        after = ast.unparse(node) if not isinstance(node, ast.stmt) or _is_in(changed, node) else "left out"
        text = ast.unparse(ast.fix_missing_locations(changed))
        if text not in seen:
            seen.add(text)
            yield Mutant(line, f"{_short(before)}  ->  {_short(after)}", text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:87]}..."


def _is_in(tree: ast.AST, node: ast.AST) -> bool:
    return any(other is node for other in ast.walk(tree))


def _own(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that may be changed, in a fixed order."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            left_out.update(map(id, ast.iter_child_nodes(node)))
            continue
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            left_out.update(map(id, ast.walk(node.body[0])))
        if isinstance(node, ast.FunctionDef):
            left_out.update(id(part) for hint in _hints(node) for part in ast.walk(hint))
            left_out.update(id(part) for decorator in node.decorator_list for part in ast.walk(decorator))
        if isinstance(node, ast.AnnAssign):
            left_out.update(map(id, ast.walk(node.annotation)))
        if isinstance(node, ast.ClassDef):
            left_out.update(id(part) for other in (*node.decorator_list, *node.bases) for part in ast.walk(other))
        if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr) or _is_logging(node) or _is_typing(node):
            left_out.update(map(id, ast.walk(node)))
            continue
        yield node


def _hints(node: ast.FunctionDef) -> list[ast.AST]:
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg)
    found: list[ast.AST] = [a.annotation for a in arguments if a is not None and a.annotation is not None]
    return [*found, node.returns] if node.returns is not None else found


def _is_logging(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    return ast.unparse(node.value.func).startswith("logger.")


def _is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _changes(node: ast.AST) -> Iterator:
    """What can be done to a node, each a function of the whole tree."""
    if isinstance(node, ast.Compare):
        for n, operator in enumerate(node.ops):
            if type(operator) in _COMPARE:
                yield lambda _, n=n: node.ops.__setitem__(n, _COMPARE[type(node.ops[n])]())
    elif isinstance(node, ast.BoolOp):
        yield lambda _: setattr(node, "op", ast.And() if isinstance(node.op, ast.Or) else ast.Or())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda _: setattr(node, "op", ast.Not()) or setattr(node, "operand", _not(node.operand))
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        yield lambda _: setattr(node, "op", _BINARY[type(node.op)]())
    elif isinstance(node, ast.Constant):
        if (value := _other(node.value)) is not None:
            yield lambda _: setattr(node, "value", value)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield lambda _: setattr(node, "test", _not(node.test))
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield lambda _: setattr(node, "value", ast.Constant(None))
    elif isinstance(node, ast.Break | ast.Continue):
        yield lambda tree: _replace(tree, node, ast.Continue() if isinstance(node, ast.Break) else ast.Break())
    elif _may_be_left_out(node):
        yield lambda tree: _replace(tree, node, ast.Pass())


def _may_be_left_out(node: ast.AST) -> bool:
    """Whether it is a statement that does something, and not one that others need to be there."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call | ast.Yield)
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets)
    return isinstance(node, ast.AugAssign | ast.Raise | ast.Delete)


def _not(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def _other(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str) and value and " " not in value:
        return f"{value}X"
    return value + b"X" if isinstance(value, bytes) and value else None


def _replace(tree: ast.AST, old: ast.AST, new: ast.stmt) -> None:
    for node in ast.walk(tree):
        for _, field in ast.iter_fields(node):
            if isinstance(field, list):
                for n, item in enumerate(field):
                    if item is old:
                        field[n] = ast.copy_location(new, old)
                        return

"""Leave out of a fragment's source what can never happen for a task: branches on its kind, on absent text or times.

Works on lines, so that comments and layout of what stays are kept. Pure; called by `render.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from itertools import pairwise

Facts = Mapping[str, str | bool]
"""What is known of names: KIND's value, and whether a list (TEXT, TIME, …) has any entries."""


def verdict(test: ast.expr, facts: Facts) -> bool | None:
    """Return what a condition is known to be, None when it depends on more than the facts."""
    match test:
        case ast.Name(id=name) if isinstance(facts.get(name), bool):
            return bool(facts[name])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = verdict(operand, facts)
            return None if inner is None else not inner
        case ast.Compare(
            left=ast.Name(id=name), ops=[ast.Eq() | ast.NotEq() as op], comparators=[ast.Constant(value=v)]
        ):
            if name not in facts or isinstance(facts[name], bool):
                return None
            return (facts[name] == v) == isinstance(op, ast.Eq)
        case ast.BoolOp(op=op, values=values):
            found = [verdict(v, facts) for v in values]
            short = isinstance(op, ast.Or)
            if short in found:
                return short
            return (not short) if all(f is not None for f in found) else None
    return None


def specialise(source: str, facts: Facts) -> str:
    """Return a definition's source without the branches that the facts rule out."""
    while True:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, (ast.If, ast.IfExp)) and (known := verdict(node.test, facts)) is not None:
                source = (
                    _statement(source, node, known) if isinstance(node, ast.If) else _expression(source, node, known)
                )
                break
        else:
            return _without_dead_ends(source)


def _without_dead_ends(source: str) -> str:
    """Drop statements that follow a return or raise in the same block."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for before, after in pairwise(body):
            if isinstance(before, (ast.Return, ast.Raise)):
                end = int(body[-1].end_lineno or after.lineno)
                return _without_dead_ends("\n".join(lines[: after.lineno - 1] + lines[end:]))
    return source


def _statement(source: str, node: ast.If, known: bool) -> str:
    lines = source.splitlines()
    start, end = node.lineno - 1, int(node.end_lineno or node.lineno)
    chained = lines[start].lstrip().startswith("elif")
    kept: list[str] = []
    if known:
        kept = _block(lines, node.body)
        if chained:
            kept = [" " * node.col_offset + "else:", *(f"    {line}" if line else line for line in kept)]
    elif node.orelse:
        first = node.orelse[0]
        if isinstance(first, ast.If) and lines[first.lineno - 1].lstrip().startswith("elif"):
            kept = lines[first.lineno - 1 : end]
            if not chained:
                kept[0] = kept[0].replace("elif", "if", 1)
        else:
            kept = _block(lines, node.orelse)
            if chained:
                kept = [" " * node.col_offset + "else:", *(f"    {line}" if line else line for line in kept)]
    return "\n".join([*lines[:start], *kept, *lines[end:]])


def _block(lines: list[str], body: list[ast.stmt]) -> list[str]:
    last = int(body[-1].end_lineno or body[-1].lineno)
    return [line[4:] if line.startswith("    ") else line for line in lines[body[0].lineno - 1 : last]]


def _expression(source: str, node: ast.IfExp, known: bool) -> str:
    chosen = ast.get_source_segment(source, node.body if known else node.orelse) or ""
    whole = ast.get_source_segment(source, node) or ""
    lines = source.splitlines()
    offset = sum(len(line.encode()) + 1 for line in lines[: node.lineno - 1]) + node.col_offset
    data = source.encode()
    before, after = data[:offset], data[offset + len(whole.encode()) :]
    if before.endswith(b"(") and after.startswith(b")") and not before[:-1].strip()[-1:].isalnum():
        before, after = before[:-1], after[1:]
    return (before + chosen.encode() + after).decode()

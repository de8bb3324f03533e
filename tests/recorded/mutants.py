"""Deciders that have been changed on purpose, and what they say on the recorded runs: material for `test_mutants`.

A mutant is a copy of a decider's module with one place of its source changed. What it says is found out here without
verify: its cursor is fed the recorded commits, and every answer is compared with the original's, as plain values. So a
mutant that says anything else is known to before verify is asked, and verify has to find it.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gome.events import Commit, RunFinished
from gome.kernel.cursor import Answer, Cursor
from gome.kernel.discovery import codec_for
from gome.kernel.plugin import Plugin
from tests.recorded.corpus import Corpus

_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


class Hung(BaseException):
    """A mutant goes round in circles; no `except Exception` may hide it."""


@dataclass(frozen=True)
class Mutant:
    """One changed place: `name` is unique (`line:column what`), `code` the whole changed module."""

    module: str
    name: str
    code: types.CodeType

    def plugin(self, original: Plugin) -> Plugin:
        """The original with the functions that its module defines taken from the changed one."""
        # Dataclasses look their module up by its name: they find the original, which says the same.
        made = types.ModuleType(self.module)
        exec(self.code, made.__dict__)
        fields = [f for f in ("initial", "evolve", "decide") if getattr(original, f).__module__ == self.module]
        assert fields, f"{original.name} takes nothing from {self.module}"
        parts: dict[str, Any] = {f: getattr(made, getattr(original, f).__qualname__) for f in fields}
        return dataclasses.replace(original, **parts)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What a node may be replaced by, each with a word for it."""
    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                changed = copy.copy(node)
                changed.ops = [*ops[:place], _FLIPPED[type(op)](), *ops[place + 1 :]]
                yield f"{type(op).__name__} flipped", changed
        case ast.BinOp(op=ast.Add() | ast.Sub() as op):
            changed = copy.copy(node)
            changed.op = ast.Sub() if isinstance(op, ast.Add) else ast.Add()
            yield f"{type(op).__name__} swapped", changed
        case ast.BoolOp(op=op):
            changed = copy.copy(node)
            changed.op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"{type(op).__name__} swapped", changed
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "Not left out", operand
        case ast.Constant(value=bool(value)):
            yield f"{value} flipped", ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield f"{value} raised", ast.Constant(value + 1)
        case ast.Constant(value=str(value)) if value:
            other = "~" if value[0] != "~" else "-"
            yield f"{value[:20]!r} changed", ast.Constant(other + value[1:])
        case (
            ast.List(elts=[first, second, *rest], ctx=ast.Load())
            | ast.Tuple(elts=[first, second, *rest], ctx=ast.Load())
        ):
            changed = copy.copy(node)
            changed.elts = [second, first, *rest]
            yield "order swapped", changed


def _places(tree: ast.Module) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Parent, field, index and node of everything within functions that is executed when they are called."""

    def below(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_comment"):
                continue
            children = value if isinstance(value, list) else [value]
            for place, child in enumerate(children):
                if not isinstance(child, ast.AST) or _says_nothing(child):
                    continue
                yield node, field, place if isinstance(value, list) else None, child
                yield from below(child)

    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for statement in node.body:
                if not _says_nothing(statement):
                    yield from below(statement)


def _says_nothing(node: ast.AST) -> bool:
    """Docstrings, and what is only there for type checkers."""
    return isinstance(node, ast.Assert) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def mutants(module: str, lines: set[int]) -> Iterator[Mutant]:
    """The mutants of a module whose place lies on one of these lines, in source order."""
    path = importlib.import_module(module).__file__
    assert path is not None
    tree = ast.parse(Path(path).read_text())
    seen: set[str] = set()
    for parent, field, place, node in list(_places(tree)):
        line, column = getattr(node, "lineno", getattr(parent, "lineno", 0)), getattr(node, "col_offset", 0)
        if line not in lines:
            continue
        for what, changed in _changes(node):
            name = f"{line}:{column} {what}"
            if name in seen:  # functions within functions are walked twice
                continue
            seen.add(name)
            _put(parent, field, place, ast.copy_location(changed, node))
            code = compile(ast.fix_missing_locations(tree), f"<{module}, {name}>", "exec", dont_inherit=True)
            _put(parent, field, place, node)
            yield Mutant(module, name, code)


def _put(parent: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[place] = node


@contextmanager
def limited(seconds: float = 5.0) -> Iterator[None]:
    """Raise `Hung` in whatever takes longer, in time of this process: on a busy machine nothing else would be sure."""

    def ring(number: int, frame: Any) -> None:
        raise Hung

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class Inputs:
    """A recorded run as one decider is shown it, with the original's answers and the lines that they took."""

    def __init__(self, corpus: Corpus, original: Plugin) -> None:
        self.corpus = corpus
        self.original = original

    @cached_property
    def commits(self) -> Sequence[Commit]:
        """The run, decoded once."""
        codec = codec_for(self.corpus.plugins)
        return [codec.commit(sealed, self.corpus.texts.__getitem__) for sealed in self.corpus.records]

    def answers(self, plugin: Plugin) -> Iterator[object]:
        """What a decider says behind each commit: to the trigger that this commit answers, and to the next one."""
        cursor = Cursor(plugin)
        for commit in self.commits:
            given, due = cursor.feed(commit), cursor.answer()
            # What would be said to the event that ended the run, or later, was nobody's turn any more.
            yield _plain(given), _plain(due if due and due.trigger.seq < self.end else None)

    @cached_property
    def end(self) -> int:
        """Position of the event that the run's end answers."""
        (cause,) = [c.body.answers for c in self.commits if isinstance(c.events[-1].payload, RunFinished)]
        return next(e.seq for c in self.commits for e in c.events if e.id == cause)

    @cached_property
    def expected(self) -> list[object]:
        """The original's answers."""
        return list(self.answers(self.original))

    def changed(self, plugin: Plugin) -> bool:
        """Whether a mutant says anything else than the original."""
        expected = self.expected
        try:
            with limited():
                return any(a != b for a, b in zip(self.answers(plugin), expected, strict=True))
        except Hung:
            return True

    def lines(self, module: str) -> set[int]:
        """The lines of a module that the original went through."""
        file = sys.modules[module].__file__
        seen: set[int] = set()

        def local(frame: Any, event: str, arg: object) -> Any:
            seen.add(frame.f_lineno)
            return local

        def entered(frame: Any, event: str, arg: object) -> Any:
            return local(frame, event, arg) if frame.f_code.co_filename == file else None

        before = sys.gettrace()
        sys.settrace(entered)
        try:
            for _ in self.answers(self.original):
                pass
        finally:
            sys.settrace(before)
        return seen


def _plain(answer: Answer | None) -> object:
    if answer is None:
        return None
    return answer.trigger.id, answer.seen, [(type(p).__name__, repr(p)) for p in answer.payloads], bool(answer.error)

"""The source tree as data: its packages, modules and imports, read with `ast` and never executed."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PARTS = ("events", "kernel", "plugins")
"""Top-level folders, imported as gome.events, gome.kernel, gome.plugins."""


@dataclass(frozen=True)
class Import:
    """One imported module: what, in which file and line; `typing` when only a type checker sees it."""

    module: str
    path: str
    line: int
    typing: bool = False

    @property
    def top(self) -> str:
        """First component of the module's name."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


@cache
def project() -> dict[str, Any]:
    """`pyproject.toml` as a dict."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def module_paths(part: str) -> list[Path]:
    """Every Python file of a top-level folder."""
    return sorted(p for p in (ROOT / part).rglob("*.py") if "__pycache__" not in p.parts)


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports_of(path: Path) -> list[Import]:
    """Every import of a file, those inside functions included; a relative one keeps its dots."""
    where = path.relative_to(ROOT).as_posix()
    found: list[Import] = []

    def visit(node: ast.AST, typing: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, where, node.lineno, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.append(Import("." * node.level + (node.module or ""), where, node.lineno, typing))
            if not node.level:
                whole = (f"{node.module}.{alias.name}" for alias in node.names)
                found.extend(Import(name, where, node.lineno, typing) for name in whole if name in modules())
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            if isinstance(node.args[0], ast.Constant):
                found.append(Import(str(node.args[0].value), where, node.lineno, typing))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, True)
            for child in node.orelse:
                visit(child, typing)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, typing)

    visit(tree_of(path), False)
    return found


def imports(part: str) -> Iterator[Import]:
    """Every import of a top-level folder."""
    for path in module_paths(part):
        yield from imports_of(path)


def name_of(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("gome", *(parts[:-1] if parts[-1] == "__init__" else parts)))


@cache
def modules() -> frozenset[str]:
    """Dotted names of all our modules and packages."""
    return frozenset(name_of(path) for part in PARTS for path in module_paths(part))


def public_nodes(path: Path) -> Iterator[tuple[str, ast.AST, str | None]]:
    """(name, node, docstring) of a file's public classes, functions and their public methods."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in tree_of(path).body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node)
            if isinstance(node, ast.ClassDef):
                for child in node.body:
                    if isinstance(child, kinds) and not child.name.startswith("_"):
                        yield f"{node.name}.{child.name}", child, ast.get_docstring(child)

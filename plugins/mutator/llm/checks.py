"""What can be said against a program without running it: only what breaks the contract for certain. Pure.

Style, quality and safety are not judged here: the review looks at the first two, the sandbox holds whatever runs.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import PurePosixPath

INPUTS = ("train.csv", "test.csv", "folds.csv", "sample_submission.csv")
"""Tables under `input/`."""
NAMED = ("folds", "oof", "submission")
"""Words without which a program neither uses the folds nor writes its two files."""
TABLES = (".csv", ".tsv", ".parquet", ".feather", ".pkl", ".npy", ".npz", ".xlsx")


def compiles(program: str) -> bool:
    """Whether a text is Python."""
    try:
        _tree(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def fault_of(program: str) -> str:
    """What is wrong with a program, "" when nothing is; for its author to read."""
    if not program.strip():
        return "the program is empty"
    try:
        tree = _tree(program)
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        return f"it does not compile: {error.msg} (line {error.lineno})" + (f"\n{line}" if line else "")
    except (ValueError, RecursionError, MemoryError) as error:
        return f"it does not compile: {error or type(error).__name__}"
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    missing = [name for name in NAMED if not any(name in text for text in texts)]
    if missing:
        files = {"folds": "reads input/folds.csv", "oof": "writes oof.csv", "submission": "writes submission.csv"}
        return "nothing in it " + " or ".join(files[name] for name in missing)
    hidden = sorted({name for name in _read(tree) if texts.count(name) == 1})
    if hidden:
        return f"it reads {hidden[0]!r}, which is not there; the inputs are {', '.join(f'input/{n}' for n in INPUTS)}"
    return ""


def _tree(program: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a stray backslash in the model's text is no concern of ours
        tree = ast.parse(program, "program.py")
        compile(tree, "program.py", "exec")
    return tree


def _read(tree: ast.Module) -> Iterator[str]:
    """Names of tables that calls such as `pd.read_csv(…)` open and that are no inputs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _name(node.func).startswith(("read_", "load")):
            for part in ast.walk(node.args[0]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    path = PurePosixPath(part.value)
                    if path.suffix in TABLES and path.name not in INPUTS:
                        yield part.value


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""

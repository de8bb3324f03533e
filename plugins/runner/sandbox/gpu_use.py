"""Whether a program can use a GPU, told from its text. Pure; asked by the decider when `sandbox.gpus` allows one.

A program can when it imports a library that computes on GPUs, or names a device to a library that may (LightGBM's
`device_type="cuda"`, XGBoost's `device="cuda:0"`). The scan is cautious in one direction: who does not need a card may
be given one and wait for it, who asks for one is not left without unless it hides the wish (a module's name put
together at run time). Text that does not parse is searched instead: it will fail, and may as well do so where it was
meant to run.
"""

from __future__ import annotations

import ast
import re
import warnings
from functools import lru_cache

LIBRARIES = frozenset(
    (
        *("torch", "torchvision", "torchaudio", "lightning", "pytorch_lightning", "fastai", "timm", "transformers"),
        *("sentence_transformers", "pytorch_tabnet", "pytorch_tabular", "tabpfn", "rtdl", "skorch", "accelerate"),
        *("tensorflow", "keras", "jax", "jaxlib", "flax", "cupy", "cuml", "cudf", "rapids", "numba.cuda", "triton"),
        *("xgboost", "catboost"),
    )
)
"""Modules that find a GPU by themselves or offer one of their own accord, and what is built on them."""

_DEVICE = re.compile(r"(gpu|cuda(:\d+)?|gpu_hist)", re.IGNORECASE)
"""What libraries call the device: LightGBM `gpu`, `cuda`; XGBoost `cuda`, `cuda:0`, `gpu_hist`; CatBoost `GPU`."""

_IMPORTS = re.compile(r"^\s*(?:import|from)\s+([\w.]+)", re.MULTILINE)
_STRINGS = re.compile(r"""(["'])((?:gpu|cuda)[\w:]*)\1""", re.IGNORECASE)


@lru_cache(maxsize=64)
def can_use_gpu(program: str) -> bool:
    """Whether a program could make use of a GPU; see the module's text for what counts."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in the program's strings
            tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        names = _IMPORTS.findall(program)
        return any(map(_known, names)) or any(_DEVICE.fullmatch(text) for _, text in _STRINGS.findall(program))
    return any(_asks(node) for node in ast.walk(tree))


def _asks(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(_known(alias.name) for alias in names)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return _known(module) or any(_known(f"{module}.{alias.name}") for alias in names)
        case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__")):
            first = node.args[0] if node.args else None
            return isinstance(first, ast.Constant) and isinstance(first.value, str) and _known(first.value)
        case ast.Constant(value=str(text)):
            return _DEVICE.fullmatch(text) is not None
    return False


def _known(module: str) -> bool:
    """Whether a module or a package that it is in is one of those."""
    parts = module.split(".")
    return any(".".join(parts[: i + 1]) in LIBRARIES for i in range(len(parts)))

"""The interaction kernel's arithmetic: candidates against memories, on torch (CPU or GPU) or numpy.

Each candidate i meets each memory j of similarity sim_ij on a path of L attempts. What comes out is, per candidate, a
softmax over the memories of

    clamp(sim_ij · exp(−L · ln 2 / 30) + tanh(gain_j), ±2)

Both backends compute in double precision and round to 12 digits, so that draws do not depend on which one is here.
Imported only while performing; which gain goes in, and what is drawn from the weights, is decided in `rules`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

HALF_LIFE = 30
"""Attempts on the path after which similarity counts half."""
CLAMP = 2.0
Backend = Literal["auto", "torch", "numpy"]
Matrix = NDArray[np.float64]


def fade(length: int) -> float:
    """Return what similarity still counts, in (0, 1], on a path of so many attempts."""
    return math.exp(-length * math.log(2) / HALF_LIFE)


def interact(
    candidates: Matrix, memories: Matrix, gains: Sequence[float], length: int, backend: Backend = "auto"
) -> tuple[Matrix, Matrix]:
    """Return weights and similarities, both of shape (candidates, memories).

    Rows of `candidates` and `memories` are embeddings of one width, of unit length (or zero); `gains` has one number
    per memory, which goes through tanh. Each row of the weights sums to one.
    """
    wanted = np.asarray(gains, dtype=np.float64)
    on_torch = backend == "torch" or (backend == "auto" and _torch_here())
    compute = _on_torch if on_torch else _on_numpy
    weights, similar = compute(candidates, memories, wanted, fade(length))
    return np.round(weights, 12), np.round(similar, 12)


def _torch_here() -> bool:
    """Whether torch is installed and can be loaded."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError):  # not installed, or its libraries do not load here
        return False
    return True


def _on_numpy(left: Matrix, right: Matrix, gains: Matrix, faded: float) -> tuple[Matrix, Matrix]:
    similar = left @ right.T
    logits = np.clip(similar * faded + np.tanh(gains), -CLAMP, CLAMP)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True), similar


def _on_torch(left: Matrix, right: Matrix, gains: Matrix, faded: float) -> tuple[Matrix, Matrix]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b, g = (torch.as_tensor(np.ascontiguousarray(m), device=device) for m in (left, right, gains))
    similar = a @ b.T
    weights = torch.softmax(torch.clamp(similar * faded + torch.tanh(g), -CLAMP, CLAMP), dim=1)
    return weights.cpu().numpy(), similar.cpu().numpy()

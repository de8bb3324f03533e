"""How alike short texts are: hashed character and word n-grams, compared by cosine on torch or numpy.

Embedding is a few hundred hashes per text and is cached by the text's digest, so a recall in a long run embeds only
what is new. Both backends compute in double precision and agree to rounding. Imported only while performing.
"""

from __future__ import annotations

import importlib.util
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

WIDTH = 512
"""Length of an embedding."""
Vector = NDArray[np.float64]
_WORD = re.compile(r"[^\W_]+")


@lru_cache(maxsize=4096)
def embed(text: str) -> Vector:
    """Return a unit vector of `WIDTH` numbers (zero for a text without letters or digits).

    Words count twice as much as their pairs and character trigrams; the sign of a gram comes from its hash, so that
    collisions cancel on average.
    """
    words = _WORD.findall(text.lower())
    vector = np.zeros(WIDTH)
    grams = [(f"w:{w}", 2.0) for w in words]
    grams += [(f"p:{a} {b}", 1.0) for a, b in pairwise(words)]
    for word in words:
        padded = f" {word} "
        grams += [(f"c:{padded[i : i + 3]}", 0.5) for i in range(len(padded) - 2)]
    for gram, weight in grams:
        bits = zlib.crc32(gram.encode())
        vector[bits % WIDTH] += weight if bits & 0x80000000 else -weight
    norm = float(np.linalg.norm(vector))
    vector = vector / norm if norm else vector
    vector.flags.writeable = False  # it is shared by the cache
    return vector


def torch_here() -> bool:
    """Whether torch can be imported; it is not imported to find out."""
    return importlib.util.find_spec("torch") is not None


def cosine(query: str, texts: Sequence[str], backend: Literal["auto", "torch", "numpy"] = "auto") -> list[float]:
    """Return the similarity in [-1, 1] of the query to each text, rounded to 9 digits so that backends agree."""
    if not texts:
        return []
    matrix = np.stack([embed(t) for t in texts])
    if backend == "torch" or (backend == "auto" and torch_here()):
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        # copies, because torch wants writeable memory and the cached vectors are not
        left = torch.from_numpy(matrix.copy()).to(device)
        found = (left @ torch.from_numpy(embed(query).copy()).to(device)).cpu().numpy()
    else:
        found = matrix @ embed(query)
    return [round(float(v), 9) for v in found]

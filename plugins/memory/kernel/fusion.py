"""Two rankings of texts made one: by the words they share with a question (BM25) and by another similarity. Pure.

A text at ranks r1 and r2, both from 1, has

    alpha / (k + r1) + (1 − alpha) / (k + r2)

so that what is near the top of either ranking comes before what is in the middle of both, and no scale of scores
matters. alpha and k are MLEvolve's, as is the choice of the two rankings; BM25 is Okapi's with the usual constants and
the weight of a word that is never negative. Called by the recall; which texts take part is said in `retrieval`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

ALPHA = 0.5
"""Weight of the first ranking."""
K = 60
"""How little the ranks at the top differ."""
SATURATION = 1.5
LENGTH = 0.75
"""How soon a repeated word says nothing new, and how much a long text is held against it."""
_WORD = re.compile(r"[^\W_]+")


def reciprocal(first: int, second: int) -> float:
    """The fused score of a text that two rankings have at these ranks, counted from 1."""
    return ALPHA / (K + first) + (1.0 - ALPHA) / (K + second)


def fused(lexical: Sequence[float], dense: Sequence[float]) -> list[float]:
    """The fused score of each text from its two similarities, to 12 digits."""
    return [round(reciprocal(a, b), 12) for a, b in zip(ranks(lexical), ranks(dense), strict=True)]


def ranks(scores: Sequence[float]) -> list[int]:
    """The rank of each score, 1 for the largest; of equals, by 12 digits, the first comes first."""
    order = sorted(range(len(scores)), key=lambda i: (-round(scores[i], 12), i))
    found = [0] * len(scores)
    for rank, i in enumerate(order, start=1):
        found[i] = rank
    return found


def bm25(question: str, texts: Sequence[str]) -> list[float]:
    """How well each text answers a question, by their words: 0 where they share none."""
    counts = [Counter(_words(text)) for text in texts]
    lengths = [sum(c.values()) for c in counts]
    mean = sum(lengths) / len(texts) if any(lengths) else 1.0
    scores = [0.0] * len(texts)
    for word in dict.fromkeys(_words(question)):
        holding = sum(word in c for c in counts)
        weight = math.log(1.0 + (len(texts) - holding + 0.5) / (holding + 0.5))
        for i, found in enumerate(counts):
            if n := found[word]:
                norm = SATURATION * (1.0 - LENGTH + LENGTH * lengths[i] / mean)
                scores[i] += weight * n * (SATURATION + 1.0) / (n + norm)
    return scores


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())

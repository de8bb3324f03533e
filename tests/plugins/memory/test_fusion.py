"""Fusing two rankings: the published vector, and what comes out on top of a lexical and another ranking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.plugins.memory.kernel.fusion import bm25, fused, ranks, reciprocal


def test_reciprocal_rank_fusion_as_published() -> None:
    assert reciprocal(1, 3) == pytest.approx(0.016133, abs=5e-7)
    assert fused([3.0, 2.0, 1.0], [0.1, 0.9, 0.5])[0] == pytest.approx(0.016133, abs=5e-7), "ranks 1 and 3"


def test_what_is_second_in_both_rankings_stays_behind_what_leads_both_and_no_scale_matters() -> None:
    assert fused([9e9, 5.0, 1.0], [0.3, 0.2, 0.1]) == fused([3.0, 2.0, 1.0], [9e9, 2e9, 1.0])
    leader, second, last = fused([3.0, 2.0, 1.0], [0.3, 0.2, 0.1])
    assert leader == pytest.approx(1 / 61) and second == pytest.approx(1 / 62) and last == pytest.approx(1 / 63)


@given(st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_every_rank_is_given_once_and_equal_scores_keep_their_order(scores: list[float]) -> None:
    found = ranks(scores)
    assert sorted(found) == list(range(1, len(scores) + 1))
    for i, j in zip(range(len(scores)), range(1, len(scores)), strict=False):
        if scores[i] == scores[j]:
            assert found[i] < found[j]


def test_bm25_is_okapis() -> None:
    texts = ["ratio of the areas", "ratio of ages", "a booster with fewer leaves and a lower rate"]
    scores = bm25("Ratio ages", texts)
    lengths, mean = (4, 3, 9), 16 / 3

    def part(holding: int, length: int) -> float:
        return math.log(1 + (3 - holding + 0.5) / (holding + 0.5)) * 2.5 / (1 + 1.5 * (0.25 + 0.75 * length / mean))

    assert scores == pytest.approx([part(2, lengths[0]), part(2, lengths[1]) + part(1, lengths[1]), 0.0])


def test_no_words_are_no_answer() -> None:
    assert bm25("", ["a", "b"]) == [0.0, 0.0] and bm25("a", ["", "…"]) == [0.0, 0.0] and bm25("a", []) == []

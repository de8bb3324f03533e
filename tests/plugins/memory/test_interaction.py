"""The interaction kernel's arithmetic: the published values, and that torch and numpy agree."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.plugins.memory.kernel.embedders import unit
from gome.plugins.memory.kernel.interaction import Backend, Matrix, fade, interact

HAS_TORCH = importlib.util.find_spec("torch") is not None
BACKENDS: list[Backend] = ["numpy", "torch"] if HAS_TORCH else ["numpy"]


def logits(similarities: list[float], gains: list[float], length: int, backend: Backend) -> list[float]:
    """The exponents that one candidate's weights stand for, up to a constant: relative to the last memory's."""
    left = np.array([[1.0, 0.0]])
    right = np.array([[s, math.sqrt(1 - s * s)] for s in similarities])
    weights, similar = interact(left, right, gains, length, backend)
    assert similar[0].tolist() == pytest.approx(similarities)
    return [math.log(w / weights[0, -1]) for w in weights[0]]


@pytest.mark.parametrize(("length", "value"), [(0, 1.0), (1, 0.977), (5, 0.891), (10, 0.794), (20, 0.63), (30, 0.5)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_similarity_fades_with_the_length_of_the_path_as_published(length: int, value: float, backend: Backend) -> None:
    assert fade(length) == pytest.approx(value, abs=6e-4)
    assert logits([1.0, 0.0], [0.0, 0.0], length, backend)[0] == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(
    ("gain", "value"), [(0.001, 0.001), (0.005, 0.005), (0.02, 0.02), (0.1, 0.1), (0.5, 0.46), (1, 0.76), (3, 0.995)]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gain_counts_by_its_tanh_as_published(gain: float, value: float, backend: Backend) -> None:
    assert logits([0.0, 0.0], [gain, 0.0], 0, backend)[0] == pytest.approx(value, abs=3e-3)
    assert logits([0.0, 0.0], [-gain, 0.0], 0, backend)[0] == pytest.approx(-value, abs=3e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_exponents_are_cut_at_two_on_either_side(backend: Backend) -> None:
    # Vectors longer than one, so that the sum can go beyond what unit vectors reach.
    weights, _ = interact(np.array([[3.0]]), np.array([[1.0], [-1.0], [0.0]]), [9.0, -9.0, 0.0], 0, backend)
    assert np.log(weights[0] / weights[0, 2]).tolist() == pytest.approx([2.0, -2.0, 0.0])


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@settings(max_examples=60, deadline=None)
@given(
    candidates=st.integers(1, 5),
    memories=st.integers(1, 40),
    length=st.integers(0, 90),
    scale=st.sampled_from([1e-4, 1.0, 1e5]),
    seed=st.integers(0, 2**31),
)
def test_torch_and_numpy_give_the_same_weights(
    candidates: int, memories: int, length: int, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    left, right = unit(rng.normal(size=(candidates, 384))), unit(rng.normal(size=(memories, 384)))
    gains = (rng.normal(size=memories) * scale).tolist()
    one: tuple[Matrix, Matrix] = interact(left, right, gains, length, "numpy")
    two: tuple[Matrix, Matrix] = interact(left, right, gains, length, "torch")
    for ours, theirs in zip(one, two, strict=True):
        assert ours.shape == theirs.shape == (candidates, memories)
        assert float(np.abs(ours - theirs).max()) < 1e-6
    assert one[0].sum(axis=1).tolist() == pytest.approx([1.0] * candidates)

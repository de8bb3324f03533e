"""The generator of look-alikes: same bytes for the same seed, the size that was asked for, the promised oddities."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lookalikes import COMPETITIONS, Shape, shape_for, write


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two, other = (write(tmp_path / f"{n}.json", Shape(2, 3, 200), seed) for n, seed in enumerate((1, 1, 2)))
    assert one.read_bytes() == two.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("size", [20_000_000, 219_029_856])
def test_a_file_has_about_the_size_that_was_asked_for(tmp_path: Path, size: int) -> None:
    shape = shape_for(size)
    share = 2 / COMPETITIONS
    path = write(tmp_path / "some.json", Shape(2, shape.loops, shape.code))
    assert 0.7 < path.stat().st_size / (size * share) < 1.3


def test_the_irregularities_are_there_and_can_be_left_out(tmp_path: Path) -> None:
    text = write(tmp_path / "worn.json", Shape(4, 30, 200), seed=3).read_text()
    loops = [v for c in json.loads(text).values() for k, v in c.items() if k != "scenario"]
    assert "NaN" in text and "Infinity" in text and "tensor(" in text and "HypothesisComponent." in text
    assert any(len(x) == 2 for x in loops) and any(isinstance(x.get("feedback"), str) for x in loops)
    assert any("exp_gen_time_info" in x for x in loops) and any(isinstance(x.get("valid_score"), dict) for x in loops)
    numbers = [int(k[5:]) for k in next(iter(json.loads(text).values())) if k != "scenario"]
    assert numbers != list(range(len(numbers)))
    regular = write(tmp_path / "regular.json", Shape(2, 10, 200, regular=True)).read_text()
    assert "NaN" not in regular and len({len(v) for v in json.loads(regular)["model-challenge_0"].values()}) == 1

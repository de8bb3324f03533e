"""Suite files of the recorded world: what they may say, and which cells come of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.kernel.errors import UsageError
from gome.plugins.bench.suite import played
from gome.plugins.bench.world.suite import cells, read_suite

TEXT = """
name = "s"
hypothesis = "x is better than y"
statistic = "share of the way"
seeds = [1, 2]
steps = 9
[dev]
ames = 30
[held-out]
leaf = 60
[factors]
search = ["x", "y"]
"playbook.strength" = [0.0, 1.0]
"guard.enabled" = [true, false]
[labels]
"guard.enabled" = "guard"
[settings.guard]
seeds = 1
"""


def written(folder: Path, text: str) -> str:
    """A suite file."""
    path = folder / "s.toml"
    path.write_text(text)
    return str(path)


def test_cells_are_all_combinations_with_the_settings_that_they_stand_for(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, TEXT))
    found = cells(suite, ("dev",))
    assert len(found) == 2 * 2 * 2 * 2
    assert len({cell.part.digest for cell in found}) == len(found)
    first = found[0]
    assert first.factors == {"strength": 0.0, "guard": True}
    assert first.part.settings == {
        "search": "x",
        "playbook": {"strength": 0.0},
        "guard": {"seeds": 1, "enabled": True},
    }
    assert (first.part.task, first.part.budget.seconds, first.part.budget.steps) == ("ames", 30.0, 9)
    assert suite.settings == {"guard": {"seeds": 1}}, "the suite's own settings stay as they are"


def test_a_level_may_stand_for_several_settings(tmp_path: Path) -> None:
    more = "[factors.memory]\nnone = { 'loop.memory' = false }\nshared = {}\n[labels]"
    found = cells(read_suite(written(tmp_path, TEXT.replace("[labels]", more, 1))), ("dev",))
    assert {cell.factors["memory"] for cell in found} == {"none", "shared"}
    assert {bool(cell.part.settings.get("loop", {}).get("memory", True)) for cell in found} == {False, True}
    assert all(("loop" in cell.part.settings) == (cell.factors["memory"] == "none") for cell in found)


def test_held_out_tasks_are_played_only_when_asked_for(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, TEXT))
    assert {cell.part.task for cell in cells(suite, ("dev",))} == {"ames"}
    assert {(c.part.task, c.split) for c in cells(suite, ("held-out",))} == {("leaf", "held-out")}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TEXT.replace('hypothesis = "x is better than y"', ""), "hypothesis"),
        (TEXT.replace("leaf = 60", "ames = 60"), "both dev and held-out"),
        (TEXT.replace("seeds = [1, 2]", "seeds = []"), "nothing to play"),
        (TEXT.replace("steps", "stepps"), "stepps"),
        (TEXT.replace('search = ["x", "y"]', "search = []"), "search has no values"),
        (TEXT.replace('search = ["x", "y"]', 'search = ["x", "x"]'), "search: a value stands there twice"),
        (TEXT.replace("seeds = [1, 2]", "seeds = [1, 1]"), "seeds: a value stands there twice"),
        (TEXT.replace("seeds = [1, 2]", "seeds = [1, -2]"), "seed -2 is out of range: take one from 0 to"),
        (TEXT.replace("steps", "split_seeds = [4294967296]\nsteps"), "split seed 4294967296 is out of range"),
        ("name = ", "is no suite"),
    ],
)
def test_a_suite_that_is_none_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_suite(written(tmp_path, text))


@pytest.mark.parametrize("traces", ["0", "'x'"])
def test_a_level_with_no_number_of_traces_is_refused(tmp_path: Path, traces: str) -> None:
    arms = f"[factors.arm]\nmany = {{ traces = {traces} }}\n[labels]"
    with pytest.raises(UsageError, match="traces: 1 to 1000 are wanted"):
        cells(read_suite(written(tmp_path, TEXT.replace("[labels]", arms, 1))))


def test_a_suite_that_is_run_for_real_is_not_played_and_how_it_is_run_is_said() -> None:
    with pytest.raises(UsageError, match="smoke is run for real: gome bench smoke"):
        read_suite("smoke")


def test_an_unknown_suite_names_those_that_ship() -> None:
    with pytest.raises(UsageError, match="crossover"):
        read_suite("crosover")


@pytest.mark.parametrize("name", played())
def test_every_shipped_suite_states_its_hypothesis_and_keeps_its_sides_apart(name: str) -> None:
    suite = read_suite(name)
    assert suite.hypothesis and suite.statistic
    assert cells(suite)

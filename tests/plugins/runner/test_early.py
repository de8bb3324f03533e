"""Hopeless executions: what a program says of its folds while it runs, and when that is enough to stop it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gome.events import Bar
from gome.plugins.runner.sandbox.early import NAME, below, hopeless, read_partial

BAR = Bar("a3", (0.5, 0.6, 0.5), 0.01)
HIGH = Bar("a3", (0.5, 0.6, 0.5), 0.01, greater=True)


@pytest.mark.parametrize(
    ("bar", "scores", "expected"),
    [
        (BAR, {0: 0.52, 1: 0.62}, True),
        (BAR, {0: 0.52}, False),
        (BAR, {0: 0.52, 1: 0.605}, False),
        (BAR, {0: 0.52, 1: 0.62, 2: 0.4}, False),
        (BAR, {0: 0.52, 7: 0.9, -1: 0.9}, False),
        (HIGH, {0: 0.48, 1: 0.58}, True),
        (HIGH, {0: 0.52, 1: 0.62}, False),
        (BAR, {}, False),
    ],
)
def test_all_of_at_least_two_folds_must_be_worse_by_more_than_the_margin(
    bar: Bar, scores: dict[int, float], expected: bool
) -> None:
    assert hopeless(bar, scores) == expected


def test_only_whole_lines_of_a_fold_and_a_score_count() -> None:
    data = b"fold,score\n0,0.5\n1,nan\n2,1e-2\nx\n\xff,1\n0,0.7\n3,0.1"
    assert read_partial(data) == {0: 0.7, 2: 0.01}


@pytest.mark.parametrize("kind", ["link", "folder", "large", "missing"])
def test_only_a_plain_small_file_is_read(tmp_path: Path, kind: str) -> None:
    said = "0,9\n1,9\n"
    path = tmp_path / NAME
    path.write_text(said)
    assert below(BAR, tmp_path)
    path.unlink()
    if kind == "link":
        (tmp_path / "real").write_text(said)
        path.symlink_to("real")
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.write_text(said * 10_000)
    assert not below(BAR, tmp_path)


PROGRAM = """
import time
with open("partial_scores.csv", "w") as f: f.write("fold,score\\n0,0.9\\n1,0.9\\n")
print("told", flush=True)
time.sleep({seconds})
"""


@pytest.mark.anyio
async def test_a_hopeless_execution_is_stopped_with_its_reason(bench: Any) -> None:
    bench.limits = msgspec.structs.replace(bench.limits, bar=BAR)
    done = await bench.run(PROGRAM.format(seconds=60))
    assert (done.ok, done.failure, done.exception) == (False, "hopeless", "")
    assert done.error == (
        "stopped early: all of the folds that it had finished were worse than those of a3 by more than 0.01"
    )
    assert "told" in str(done.stdout) and done.seconds < 60


@pytest.mark.anyio
@pytest.mark.parametrize("purpose", ["seed", "repeat", "rerun", "debug"])
async def test_only_full_executions_have_a_bar(bench: Any, outputs: str, purpose: str) -> None:
    bench.limits = msgspec.structs.replace(bench.limits, bar=BAR)
    done = await bench.run(PROGRAM.format(seconds=1) + outputs, purpose=purpose)
    assert done.ok

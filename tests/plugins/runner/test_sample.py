"""The debug sample: its size, whom it spares, and that it is the same wherever it is drawn."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.plugins.runner.sandbox.forecast import STARTUP, WARM_STARTUP, full_seconds
from gome.plugins.runner.sandbox.sample import choose, write_sample
from gome.plugins.runner.sandbox.settings import Settings


@pytest.mark.parametrize(
    ("rows", "classes", "size"),
    [(100, 0, 100), (2_000, 2, 2_000), (50_000, 2, 5_000), (15_000, 300, 3_000), (19_999, 2, 2_000), (0, 0, 0)],
)
def test_it_is_the_largest_of_share_rows_and_classes(rows: int, classes: int, size: int) -> None:
    assert Settings().sample_size(rows, classes) == size


@given(st.lists(st.sampled_from("aaaaaaaabc"), min_size=1, max_size=300), st.integers(1, 50))
def test_every_class_keeps_its_share_and_at_least_ten(labels: list[str], size: int) -> None:
    rows = {str(i): label for i, label in enumerate(labels)}
    chosen = Counter(rows[i] for i in choose(rows, size, 10, numeric=False))
    for label, count in Counter(labels).items():
        assert chosen[label] >= min(10, count)
        assert chosen[label] >= min(count, size * count / len(labels))


def test_a_numeric_target_is_covered_from_end_to_end() -> None:
    rows = {str(i): str(i / 10) for i in range(1000)}
    chosen = sorted(int(i) for i in choose(rows, 100, 1, numeric=True))
    assert len(chosen) == 100
    assert [sum(low <= i < low + 100 for i in chosen) for low in range(0, 1000, 100)] == [10] * 10


def tables(folder: Path, rows: int) -> dict[str, Path]:
    paths = {name: folder / name for name in ("train.csv", "folds.csv", "test.csv", "sample_submission.csv")}
    with open(paths["train.csv"], "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "id", "y"])
        writer.writerows([f'a "quoted",\nvalue {i}', i, i % 7] for i in range(rows))
    paths["folds.csv"].write_text("id,p0\n" + "".join(f"{i},{i % 5}\n" for i in range(rows)))
    paths["test.csv"].write_text("id,x\n" + "".join(f"{i},1\n" for i in range(rows, 2 * rows)))
    paths["sample_submission.csv"].write_text("id,y\n" + "".join(f"{i},0\n" for i in range(rows, 2 * rows)))
    return paths


def ids(path: Path) -> list[str]:
    with open(path, newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def test_tables_are_cut_to_the_same_rows_in_their_order(bench: Any, tmp_path: Path) -> None:
    sources = tables(tmp_path, 500)
    target = tmp_path / "out"
    target.mkdir()
    settings = Settings(debug_rows=50)
    counts = write_sample(bench.task, sources, target, settings)
    train = ids(target / "train.csv")
    assert train == ids(target / "folds.csv")
    assert train == [i for i in ids(sources["train.csv"]) if i in set(train)]
    assert ids(target / "test.csv") == ids(target / "sample_submission.csv")
    assert counts["train.csv"] == len(train) == 50 and counts["test.csv"] == 50
    with open(target / "train.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert first["x"] == f'a "quoted",\nvalue {first["id"]}'


@pytest.mark.anyio
async def test_a_debug_execution_sees_the_sample(bench: Any, tmp_path: Path, outputs: str) -> None:
    sources = tables(tmp_path, 300)
    for name, path in sources.items():
        bench.inputs[name] = type(bench.inputs[name])(digest=bench.store.put_file(path), size=path.stat().st_size)
    bench.settings["debug_rows"] = 40
    program = f"""{outputs}
import csv, os
print(os.environ.get("GOME_DEBUG"), len(list(csv.DictReader(open("input/train.csv", newline="")))))
"""
    debug = await bench.run(program, purpose="debug")
    full = await bench.run(program, purpose="full", id="f" * 32)
    assert str(debug.stdout) == "1 40\n" and debug.sampled == 40
    assert str(full.stdout) == "None 300\n"
    assert debug.estimated_seconds >= WARM_STARTUP and full.estimated_seconds == 0.0


@pytest.mark.anyio
async def test_a_debug_execution_may_leave_placeholders_and_forecasts_the_full_one(bench: Any, tmp_path: Path) -> None:
    sources = tables(tmp_path, 300)
    for name, path in sources.items():
        bench.inputs[name] = type(bench.inputs[name])(digest=bench.store.put_file(path), size=path.stat().st_size)
    bench.settings["debug_rows"] = 40
    bench.task = msgspec.structs.replace(bench.task, rows_train=40_000)
    debug = await bench.run(
        """
for name in ("oof.csv", "submission.csv"): open(name, "w").write("placeholder")
open("diagnostics.json", "w").write('{"debug_share": 0.5}')
""",
        purpose="debug",
    )
    assert debug.ok
    assert debug.diagnostics == {"debug_share": 0.5}
    expected = full_seconds(debug.seconds, 40, 40_000, debug.diagnostics, warm=debug.warm)
    assert debug.estimated_seconds == pytest.approx(expected, abs=0.2)  # seconds are recorded to a tenth of a ms


@pytest.mark.parametrize(
    ("seconds", "sampled", "said", "expected"),
    [
        (12.0, 100, {}, 102.0),
        (12.0, 100, {"debug_share": 0.1}, 1002.0),
        (12.0, 100, {"debug_share": 0}, 102.0),
        (12.0, 100, {"debug_share": "all"}, 102.0),
        (1.0, 100, {}, STARTUP),
        (12.0, 0, {}, 0.0),
    ],
)
def test_the_forecast_grows_with_rows_and_with_the_share_of_training(
    seconds: float, sampled: int, said: dict[str, Any], expected: float
) -> None:
    assert full_seconds(seconds, sampled, 1000, said) == pytest.approx(expected)

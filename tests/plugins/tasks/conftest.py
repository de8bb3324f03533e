"""Small synthetic tables for the tests of tasks, and the way from a table to a prepared task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gome.kernel.tasks import PreparedTask, TaskOptions
from gome.plugins.tasks.tables import source


class Bench:
    """Makes tables, saves them in a test's own folder, and prepares them as a person would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def houses(rows: int = 400, seed: int = 0) -> pd.DataFrame:
        """A regression that can be learnt: price from area, rooms, quarter and noise."""
        rng = np.random.default_rng(seed)
        area = rng.gamma(6, 20, rows).round(1) + 20
        rooms = rng.integers(1, 7, rows)
        quarter = rng.choice(["north", "south", "east"], rows)
        age = rng.uniform(0, 100, rows).round(2)
        price = 1000 * area + 9000 * rooms + 20_000 * (quarter == "north") - 300 * age + rng.normal(0, 15_000, rows)
        return pd.DataFrame(
            {"area": area, "rooms": rooms, "quarter": quarter, "age": age, "price": price.round(0).astype(int) + 50_000}
        )

    @staticmethod
    def churn(rows: int = 500, seed: int = 0) -> pd.DataFrame:
        """A binary target in words."""
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({"months": rng.integers(1, 60, rows), "fee": rng.normal(30, 5, rows).round(2)})
        frame["plan"] = rng.choice(["basic", "plus"], rows)
        chance = 1 / (1 + np.exp((frame["months"] - 20) / 10))
        frame["left"] = np.where(rng.uniform(size=rows) < chance, "yes", "no")
        return frame

    @staticmethod
    def flowers(rows: int = 450, seed: int = 0) -> pd.DataFrame:
        """Three classes."""
        rng = np.random.default_rng(seed)
        kind = rng.integers(0, 3, rows)
        frame = pd.DataFrame({f"leaf_{i}": (kind * (i + 1) * 0.4 + rng.normal(0, 1, rows)).round(4) for i in range(4)})
        frame["colour"] = rng.choice(["red", "white"], rows)
        frame["species"] = np.array(["setosa", "versicolor", "virginica"])[kind]
        return frame

    def save(self, frame: pd.DataFrame, name: str = "train.csv") -> Path:
        """Write a table as CSV and return its path."""
        frame.to_csv(self.folder / name, index=False)
        return self.folder / name

    def prepare(self, frame: pd.DataFrame, target: str, **options: object) -> PreparedTask:
        """Save a table and prepare it."""
        said = TaskOptions(target=target, **options)  # type: ignore[arg-type]
        return source.prepare(str(self.save(frame)), said, self.folder / "task")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench in the test's own folder."""
    return Bench(tmp_path)

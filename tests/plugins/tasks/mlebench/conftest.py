"""A data folder for a test, and competitions prepared in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gome.plugins.tasks.mlebench.competitions import VARIABLE
from tests.plugins.tasks.mlebench.lookalikes import MAKERS

Maker = Callable[[str], Path]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder that gome finds through the environment."""
    folder = tmp_path / "mle-bench" / "data"
    folder.mkdir(parents=True)
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture
def made(data: Path) -> Maker:
    """Prepares a competition by id and returns its folder with `public` and `private`."""

    def make(name: str) -> Path:
        MAKERS[name](data)
        return data / name / "prepared"

    return make

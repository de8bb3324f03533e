"""The door of task sources: who is asked for a specification, and what a stranger's source must have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gome.kernel.errors import PluginError, UsageError
from gome.kernel.tasks import Finding, PreparedTask, TaskOptions, TaskSource, find, sources
from tests import distribution


class Stars:
    """A stranger's source, with the least that one needs."""

    name = "stars"
    summary = "tasks about stars"

    def matches(self, spec: str) -> bool:
        return spec.startswith("star:")

    def names(self) -> list[tuple[str, str]]:
        return [("sun", "the nearest one"), ("ames", "not the town")]

    def prepare(self, spec: str, options: TaskOptions, folder: Path) -> PreparedTask:
        raise UsageError("no star today; try tomorrow")

    def check(self, prepared: PreparedTask) -> list[Finding]:
        return []


source = Stars()


def installed(folder: Path, value: str) -> None:
    """Install a package's metadata that registers a task source."""
    distribution.install(folder, "stranger", {"gome.tasks": {"stars": value}})
    (folder / "stars_source.py").write_text(Path(__file__).read_text())


def test_the_built_in_sources_come_through_entry_points() -> None:
    assert sorted(one.name for one in sources()) == ["folder", "mlebench", "suite", "tables"]
    assert all(isinstance(one, TaskSource) for one in sources())


def test_a_name_wins_over_a_spelling_and_a_spelling_over_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ames").mkdir()
    (tmp_path / "ames" / "task.toml").touch()
    assert find("ames").name == "suite"
    assert find("./ames").name == "folder"
    assert find("train.csv").name == find("deep/table.parquet").name == "tables"
    assert find("star:sirius", [*sources(), Stars()]).name == "stars"
    assert find("sun", [Stars()]).name == "stars"


@pytest.mark.parametrize(
    ("spec", "words"),
    [("amse", r"'amse'; did you mean ames\?"), ("./nowhere", r"'./nowhere'; see `gome tasks`, or name a table")],
)
def test_what_no_source_understands_is_one_clear_line(spec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find(spec)


@pytest.mark.parametrize("value", ["stars_source:source", "stars_source:Stars"])
def test_a_strangers_source_is_found_as_object_or_class(tmp_path: Path, monkeypatch: Any, value: str) -> None:
    installed(tmp_path, value)
    monkeypatch.syspath_prepend(tmp_path)
    assert find("star:sirius").name == "stars"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("stars_nowhere:source", r"task source 'stars' \(stars_nowhere:source\) cannot be loaded: ModuleNotFoundError"),
        ("stars_source:installed", r"task source 'stars' .* cannot be loaded: TypeError"),
        ("pathlib:Path", r"task source 'stars' \(pathlib:Path\) is no TaskSource: it needs name, summary"),
    ],
)
def test_a_source_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: Any, value: str, words: str) -> None:
    installed(tmp_path, value)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=words):
        sources()

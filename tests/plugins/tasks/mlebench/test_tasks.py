"""Prepared competitions as tasks: what programs are given, what only the vault gets, and what is refused with why."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gome.events import METRICS
from gome.kernel.errors import UsageError
from gome.kernel.tasks import PreparedTask, TaskOptions, find
from gome.plugins.tasks.mlebench import source
from gome.plugins.tasks.mlebench.competitions import competition, competitions
from gome.plugins.tasks.mlebench.grading import grade, report_on
from gome.plugins.tasks.mlebench.prepare import sample_of
from gome.plugins.tasks.mlebench.reading import read_sample
from gome.plugins.tasks.mlebench.recipes import RECIPES, UNFIT, unfit
from gome.plugins.tasks.mlebench.submission import competition_submission
from tests.plugins.tasks.mlebench.lookalikes import MAKERS

Maker = Callable[[str], Path]
TARGETS = {"nomad2018-predict-transparent-conductors": ("formation_energy_ev_natom", "bandgap_energy_ev")}


def prepared(name: str, folder: Path, target: str = "") -> PreparedTask:
    """Prepare a competition as `gome run` does."""
    spec = f"mlebench:{name}"
    return find(spec).prepare(spec, TaskOptions(target=target), folder)


def read(path: Path) -> pd.DataFrame:
    """A table in the dialect of tasks."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def perfect(task: PreparedTask) -> pd.DataFrame:
    """What a run that knows the answers hands in: the number, or probabilities of 0 and 1."""
    assert task.answers is not None
    answers = read(task.answers)
    values = answers[task.task.target].astype(str)
    table = answers[[task.task.id]].copy()
    if task.task.kind == "regression":
        table[task.task.target] = answers[task.task.target].astype(float)
    elif task.task.kind == "binary":
        table[task.task.target] = (values == task.task.classes[1]).astype(float)
    else:
        for name in task.task.classes:
            table[name] = (values == name).astype(float)
    return table.iloc[::-1]  # the order of a submission is nobody's promise


def test_every_competition_is_a_task_or_says_why_not() -> None:
    known = competitions()
    assert set(RECIPES) <= set(known) and set(UNFIT) <= set(known) and not set(RECIPES) & set(UNFIT)
    assert all(unfit(name) for name in set(known) - set(RECIPES))
    images = [one for name, one in known.items() if name not in RECIPES and name not in UNFIT]
    assert all("Image" in one.category or "Object" in one.category for one in images)
    for recipe in RECIPES.values():
        assert recipe.kind in METRICS[recipe.metric].kinds


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_that_knows_the_answers_wins_gold_and_the_sample_wins_nothing(
    name: str, made: Maker, data: Path, tmp_path: Path
) -> None:
    made(name)
    files = []
    for target in TARGETS.get(name, ("",)):
        task = prepared(name, tmp_path / f"task-{target}", target)
        files.append(tmp_path / f"submission-{target}.csv")
        perfect(task).to_csv(files[-1], index=False)
    one = competition(name)
    table = competition_submission(one, data, files)
    sample = sample_of(one, data / name / "prepared")
    assert list(table.columns) == list(sample.columns) and table[RECIPES[name].key].equals(sample[RECIPES[name].key])
    table.to_csv(tmp_path / "gold.csv", index=False)
    sample.to_csv(tmp_path / "sample.csv", index=False)
    gold, _ = report_on(one, tmp_path / "gold.csv", data)
    nothing, _ = report_on(one, tmp_path / "sample.csv", data)
    assert gold.gold_medal and nothing.valid_submission and not nothing.any_medal


@pytest.mark.parametrize("name", MAKERS)
def test_programs_are_given_no_answer(name: str, made: Maker, tmp_path: Path) -> None:
    made(name)
    target = TARGETS.get(name, ("",))[-1]
    found = prepared(name, tmp_path / "task", target)
    task = found.task
    train, test, answers = (read(tmp_path / "task" / f"{part}.csv") for part in ("train", "test", "answers"))
    recipe = RECIPES[name]
    assert found.files.keys() == {"train.csv", "test.csv"} and task.test_is_heldout
    assert list(train.columns) == [*test.columns, task.target]
    assert not {*recipe.targets, *recipe.classes} & {*test.columns, *(column.name for column in task.columns)}
    assert answers[task.id].tolist() == test[task.id].tolist() and list(answers.columns) == [task.id, task.target]
    assert not set(train[task.id]) & set(test[task.id])
    assert task.metric.name == recipe.metric and task.name.startswith(name)


def test_the_same_folder_makes_the_same_task_and_another_seed_another_order(made: Maker, tmp_path: Path) -> None:
    made("spaceship-titanic")
    first, again = (prepared("spaceship-titanic", tmp_path / part).task for part in "ab")
    assert first == again
    other = source.prepare("mlebench:spaceship-titanic", TaskOptions(split_seed=8), tmp_path / "c").task
    assert other.train != first.train and other.test == first.test and other.answers == first.answers


def test_a_field_that_gives_the_answer_away_is_dropped_and_said(made: Maker, tmp_path: Path) -> None:
    made("random-acts-of-pizza")
    found = prepared("random-acts-of-pizza", tmp_path / "task")
    columns = [column.name for column in found.task.columns]
    assert "giver_username_if_known" not in columns and "post_was_edited" not in columns
    assert "`giver_username_if_known`: it is known only of requests that were met" in found.page
    assert set(read(tmp_path / "task" / "train.csv")["requester_subreddits_at_request"].dropna()) == {
        "pizza",
        "pizza pics",
    }
    assert found.task.classes == ("0", "1")


def test_the_page_of_the_competition_is_part_of_the_description(made: Maker, tmp_path: Path) -> None:
    made("spaceship-titanic")
    assert "A made-up description." in prepared("spaceship-titanic", tmp_path / "task").task.description


def test_without_the_private_folder_there_is_no_hidden_score(made: Maker, tmp_path: Path) -> None:
    shutil.rmtree(made("spaceship-titanic") / "private")
    found = prepared("spaceship-titanic", tmp_path / "task")
    assert found.answers is None and not found.task.test_is_heldout
    assert any("no hidden score" in notice for notice in found.notices)


def test_a_rare_class_is_left_out_and_said(made: Maker, tmp_path: Path) -> None:
    path = made("spooky-author-identification") / "public" / "train.csv"
    train = pd.read_csv(path)
    train.loc[:3, "author"] = "XYZ"
    train.to_csv(path, index=False)
    found = prepared("spooky-author-identification", tmp_path / "task")
    assert found.task.classes == ("EAP", "HPL", "MWS") and any("4 training rows" in notice for notice in found.notices)


def test_another_data_folder_is_named_before_the_id(
    made: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made("spaceship-titanic").parents[1]
    monkeypatch.delenv("MLE_BENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = f"mlebench:{folder}/spaceship-titanic"
    assert find(spec).prepare(spec, TaskOptions(), tmp_path / "task").task.rows_test == 100
    with pytest.raises(UsageError, match=r"not prepared in .*cache/mle-bench/data.*mlebench prepare -c"):
        prepared("spaceship-titanic", tmp_path / "other")


def test_prepared_competitions_are_listed(made: Maker, data: Path) -> None:
    assert source.names() == []
    made("spaceship-titanic")
    (data / "aerial-cactus-identification" / "prepared" / "public").mkdir(parents=True)
    assert source.names() == [("mlebench:spaceship-titanic", "Spaceship Titanic: dev, accuracy")]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("aerial-cactus-identification", {}, "no task that gome can run: its inputs are image files"),
        ("spaceship-titanik", {}, "did you mean spaceship-titanic?"),
        ("nomad2018-predict-transparent-conductors", {}, "2 targets, and a run predicts one: choose with --target"),
        ("spaceship-titanic", {"target": "Age"}, "no target 'Age'; it has Transported"),
        ("spaceship-titanic", {"metric": "roc_auc", "drop": ("Age",)}, "--metric, --drop cannot change it"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    name: str, options: dict[str, Any], said: str, made: Maker, tmp_path: Path
) -> None:
    if name in MAKERS:
        made(name)
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        source.prepare(f"mlebench:{name}", TaskOptions(**options), tmp_path / "task")


@pytest.mark.parametrize("file", ["train.csv", "test.csv", "sample_submission.csv"])
def test_a_missing_file_is_named(file: str, made: Maker, tmp_path: Path) -> None:
    (made("spaceship-titanic") / "public" / file).unlink()
    with pytest.raises(UsageError, match=f"{file}.*prepare the competition again"):
        prepared("spaceship-titanic", tmp_path / "task")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.iloc[:-1], "99 rows by 'PassengerId', 100 by"),
        (lambda table: table.rename(columns={"PassengerId": "id"}), "100 rows by 'id'"),
        (lambda table: table.rename(columns={"Transported": "Age"}), "predicts Age"),
        (lambda table: table.assign(PassengerId=["x"] * 100), "does not predict every row"),
    ],
)
def test_files_of_other_runs_are_refused(change: Any, said: str, made: Maker, data: Path, tmp_path: Path) -> None:
    made("spaceship-titanic")
    change(perfect(prepared("spaceship-titanic", tmp_path / "task"))).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(UsageError, match=said):
        competition_submission(competition("spaceship-titanic"), data, [tmp_path / "s.csv"])


def test_every_target_needs_a_file_of_its_own(made: Maker, data: Path, tmp_path: Path) -> None:
    name = "nomad2018-predict-transparent-conductors"
    made(name)
    file = tmp_path / "s.csv"
    perfect(prepared(name, tmp_path / "task", "bandgap_energy_ev")).to_csv(file, index=False)
    with pytest.raises(UsageError, match="nothing predicts formation_energy_ev_natom"):
        competition_submission(competition(name), data, [file])
    with pytest.raises(UsageError, match="so does another file"):
        competition_submission(competition(name), data, [file, file])


def test_scores_are_rounded_and_clipped_and_probabilities_sum_to_one(made: Maker, data: Path, tmp_path: Path) -> None:
    name = "learning-agency-lab-automated-essay-scoring-2"
    made(name)
    table = perfect(prepared(name, tmp_path / "a")).assign(score=np.linspace(-1, 8, 30))
    table.to_csv(tmp_path / "s.csv", index=False)
    found = competition_submission(competition(name), data, [tmp_path / "s.csv"])["score"]
    assert set(found) == {1, 2, 3, 4, 5, 6} and pd.api.types.is_integer_dtype(found)
    name = "spooky-author-identification"
    made(name)
    third = perfect(prepared(name, tmp_path / "b"))
    third[["EAP", "HPL", "MWS"]] = 0.3334
    third.to_csv(tmp_path / "s.csv", index=False)
    competition_submission(competition(name), data, [tmp_path / "s.csv"]).to_csv(tmp_path / "t.csv", index=False)
    assert grade(competition(name), tmp_path / "t.csv", data).score == pytest.approx(np.log(3), abs=1e-5)


def test_a_large_table_is_sampled_by_rows_or_by_groups(tmp_path: Path) -> None:
    frame = pd.DataFrame({"breath_id": np.arange(4000) // 20, "u_in": np.arange(4000)})
    frame.to_csv(tmp_path / "train.csv", index=False)
    kept, total = read_sample(tmp_path / "train.csv", 1000, "", 7)
    again, _ = read_sample(tmp_path / "train.csv", 1000, "", 7)
    assert total == 4000 and 850 < len(kept) < 1150 and kept.equals(again)
    groups, _ = read_sample(tmp_path / "train.csv", 1000, "breath_id", 7)
    assert set(groups["breath_id"].value_counts()) == {20} and 500 < len(groups) < 1500
    whole, total = read_sample(tmp_path / "train.csv", 5000, "", 7)
    assert len(whole) == total == 4000

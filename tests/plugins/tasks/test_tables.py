"""Own data: what is guessed, what is held out, and one clear line for whatever cannot work."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gome.kernel.errors import UsageError
from gome.kernel.tasks import PreparedTask, TaskOptions
from gome.plugins.tasks.tables import source


def tables(task: PreparedTask) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read train, test and answers."""
    assert task.answers is not None
    return pd.read_csv(task.files["train.csv"]), pd.read_csv(task.files["test.csv"]), pd.read_csv(task.answers)


def test_a_number_is_a_regression_and_a_fifth_is_held_out(bench: Any) -> None:
    prepared = bench.prepare(bench.houses(), "price")
    task = prepared.task
    assert (task.kind, task.metric.name, task.metric.greater_is_better) == ("regression", "rmse", False)
    assert (task.rows_train, task.rows_test, task.test_is_heldout) == (320, 80, True)
    kinds = {"area": "numeric", "rooms": "numeric", "quarter": "category", "age": "numeric"}
    assert {column.name: column.kind for column in task.columns} == kinds
    train, test, answers = tables(prepared)
    assert list(train.columns) == ["id", "area", "rooms", "quarter", "age", "price"]
    assert list(test.columns) == ["id", "area", "rooms", "quarter", "age"]
    whole = pd.concat([train, test.merge(answers, on="id")]).drop(columns="id")
    original = bench.houses()
    assert (
        whole.sort_values(list(whole))
        .reset_index(drop=True)
        .equals(original.sort_values(list(original)).reset_index(drop=True))
    )


def test_a_positive_skewed_target_over_a_wide_range_is_judged_by_rmsle_and_says_so(bench: Any) -> None:
    frame = bench.houses().assign(price=lambda table: np.exp(table["price"] / 60_000).round(2))
    prepared = bench.prepare(frame, "price")
    assert prepared.task.metric.name == "rmsle"
    assert any(notice.startswith("metric rmsle: the target is positive, skewed") for notice in prepared.notices)


def test_two_words_are_binary_with_classes_in_sorted_order(bench: Any) -> None:
    task = bench.prepare(bench.churn(), "left").task
    assert (task.kind, task.metric.name, task.classes) == ("binary", "roc_auc", ("no", "yes"))
    assert task.prediction_columns == ("left",)


def test_three_words_are_multiclass(bench: Any) -> None:
    task = bench.prepare(bench.flowers(), "species").task
    assert (task.kind, task.metric.name) == ("multiclass", "log_loss")
    assert task.classes == ("setosa", "versicolor", "virginica") == task.prediction_columns


@pytest.mark.parametrize(
    ("values", "metric", "kind", "classes"),
    [
        ([0, 1], "", "binary", ("0", "1")),
        ([True, False], "", "binary", ("False", "True")),
        ([1.0, 2.0, 3.0], "", "multiclass", ("1", "2", "3")),
        ([1, 2, 3, 4, 5], "rmse", "regression", ()),
        ([1, 2, 3, 4, 5], "Log-Loss", "multiclass", ("1", "2", "3", "4", "5")),
        ([0.5, 1.5, 2.5], "", "regression", ()),
        ([0, 1], "mae", "regression", ()),
    ],
)
def test_kind_follows_from_values_and_metric(
    bench: Any, values: list[Any], metric: str, kind: str, classes: tuple[str, ...]
) -> None:
    frame = bench.houses(300).assign(y=[values[i % len(values)] for i in range(300)])
    prepared = bench.prepare(frame, "y", metric=metric)
    assert (prepared.task.kind, prepared.task.classes) == (kind, classes)
    if classes:
        read = pd.read_csv(prepared.files["train.csv"], dtype=str)["y"]
        assert set(read) == set(classes), "classes are spelt as in train.csv"


def test_classes_stay_equally_frequent_when_held_out(bench: Any) -> None:
    train, _, answers = tables(bench.prepare(bench.churn(1000), "left"))
    assert abs((train["left"] == "yes").mean() - (answers["left"] == "yes").mean()) < 0.01


def test_groups_are_held_out_whole_and_are_no_feature(bench: Any) -> None:
    frame = bench.houses().assign(street=[f"s{i // 7}" for i in range(400)])
    prepared = bench.prepare(frame, "price", group="street")
    train, test, _ = tables(prepared)
    assert set(train["street"]).isdisjoint(test["street"])
    assert prepared.task.group == "street" and "street" not in {column.name for column in prepared.task.columns}
    assert 0.2 <= len(test) / 400 < 0.23


def test_with_a_time_column_the_latest_rows_are_held_out(bench: Any) -> None:
    days = pd.date_range("2024-01-01", periods=400, freq="D").strftime("%Y-%m-%d")
    frame = bench.houses().assign(sold=np.random.default_rng(0).permutation(days))
    prepared = bench.prepare(frame, "price", time_column="sold")
    train, test, _ = tables(prepared)
    assert train["sold"].max() < test["sold"].min()
    assert (len(test), prepared.task.time) == (80, "sold")
    assert next(column for column in prepared.task.columns if column.name == "sold").kind == "time"


def test_rows_of_one_moment_stay_together(bench: Any) -> None:
    frame = bench.houses().assign(year=[2000 + i // 100 for i in range(400)])
    train, test, _ = tables(bench.prepare(frame, "price", time_column="year"))
    assert set(test["year"]) == {2003} and 2003 not in set(train["year"])


def test_a_test_table_without_the_target_has_no_hidden_grade_and_keeps_its_order(bench: Any) -> None:
    test = bench.save(bench.houses(50, seed=1).drop(columns="price"), "test.csv")
    prepared = bench.prepare(bench.houses(), "price", test=test)
    assert prepared.answers is None and prepared.task.answers == "" and not prepared.task.test_is_heldout
    written = pd.read_csv(prepared.files["test.csv"])
    assert list(written["area"]) == list(pd.read_csv(test)["area"])
    assert set(written["id"]).isdisjoint(pd.read_csv(prepared.files["train.csv"])["id"])
    assert "there is no hidden score" in prepared.page


def test_a_test_table_with_the_target_is_graded(bench: Any) -> None:
    test = bench.save(bench.churn(60, seed=1), "test.csv")
    prepared = bench.prepare(bench.churn(), "left", test=test)
    _, written, answers = tables(prepared)
    assert prepared.task.test_is_heldout
    assert list(answers["left"]) == list(pd.read_csv(test)["left"]) and "left" not in written


def test_an_id_is_found_by_name_or_made(bench: Any) -> None:
    frame = bench.houses()
    found = bench.prepare(frame.assign(Id=[f"h{i}" for i in range(400)]), "price")
    assert found.task.id == "Id" and "Id" not in {column.name for column in found.task.columns}
    made = bench.prepare(frame.assign(id=frame["rooms"]), "price")
    assert made.task.id == "row_id", "a column called id that is not unique is a feature"


def test_ids_that_are_named_keep_their_spelling(bench: Any) -> None:
    prepared = bench.prepare(bench.houses().assign(code=[f"{i:05}" for i in range(400)]), "price", id="code")
    assert pd.read_csv(prepared.files["train.csv"], dtype=str)["code"].str.len().eq(5).all()


def test_made_ids_do_not_follow_the_order_of_the_file(bench: Any) -> None:
    frame = bench.houses().sort_values("price")
    train, _, _ = tables(bench.prepare(frame, "price"))
    assert abs(train["id"].corr(train["price"])) < 0.15


def test_columns_of_every_kind_are_told_apart(bench: Any) -> None:
    frame = bench.houses(200)
    words = np.array(
        ["the", "old", "house", "by", "a", "green", "river", "stands", "near", "tall", "trees", "and", "small", "hills"]
    )
    rng = np.random.default_rng(0)
    frame["advert"] = [" ".join(rng.choice(words, 9)) for _ in range(200)]
    frame["when"] = pd.date_range("2024-01-01", periods=200, freq="7h").astype(str)
    frame["flag"] = rng.choice([True, False], 200)
    frame["code"] = [f"x{i}y" for i in range(200)]
    frame["same"] = 5
    frame["gaps"] = np.where(rng.uniform(size=200) < 0.1, np.nan, rng.integers(0, 9, 200))
    frame["void"] = np.nan
    prepared = bench.prepare(frame, "price")
    kinds = {column.name: (column.kind, column.note) for column in prepared.task.columns}
    assert kinds["advert"] == ("text", "9 words on average")
    assert kinds["when"][0] == "time"
    assert kinds["flag"] == ("category", "")
    assert kinds["code"] == ("category", "different in every row")
    assert kinds["same"] == ("numeric", "always the same")
    assert "void" not in kinds and any("'void' is always missing" in notice for notice in prepared.notices)
    written = pd.read_csv(prepared.files["train.csv"], dtype=str)["gaps"].dropna()
    assert not written.str.contains(".", regex=False).any(), "whole numbers with gaps stay whole"


def test_rows_without_a_target_are_left_out_with_a_notice(bench: Any) -> None:
    frame = bench.churn().assign(left=lambda table: table["left"].where(table.index >= 30))
    prepared = bench.prepare(frame, "left")
    assert prepared.task.rows_train + prepared.task.rows_test == 470
    assert any(notice.startswith("30 of 500 rows have no 'left'") for notice in prepared.notices)
    assert "30 of 500 rows have no 'left'" in prepared.page


def test_integer_targets_with_gaps_stay_integers(bench: Any) -> None:
    frame = bench.churn().assign(y=lambda table: (table["left"] == "yes").astype(float).where(table.index > 5))
    assert bench.prepare(frame, "y").task.classes == ("0", "1")


def test_tsv_semicolons_gzip_and_parquet_give_the_same_task(bench: Any, tmp_path: Path) -> None:
    frame = bench.houses()
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "a.csv", index=False, sep=";")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    (tmp_path / "a.txt").write_text("\ufeff" + frame.to_csv(index=False), encoding="utf-8")
    names = ["a.tsv", "a.csv", "a.csv.gz", "a.txt"]
    try:
        frame.to_parquet(tmp_path / "a.parquet")
        names.append("a.parquet")
    except ImportError:
        with pytest.raises(UsageError, match="needs pyarrow"):
            (tmp_path / "b.parquet").write_bytes(b"PAR1")
            source.prepare(str(tmp_path / "b.parquet"), TaskOptions(target="price"), tmp_path / "x")
    digests = {
        source.prepare(str(tmp_path / name), TaskOptions(target="price"), tmp_path / f"out-{name}").task.train.digest
        for name in names
    }
    assert len(digests) == 1


def test_preparing_twice_gives_the_same_bytes_and_a_seed_other_ones(bench: Any) -> None:
    first = bench.prepare(bench.houses(), "price").task
    assert bench.prepare(bench.houses(), "price").task == first
    assert bench.prepare(bench.houses(), "price", split_seed=1).task.test.digest != first.test.digest


def test_no_machine_path_is_written_into_task_or_page(bench: Any, tmp_path: Path) -> None:
    prepared = bench.prepare(bench.houses(), "price")
    assert str(tmp_path) not in str(prepared.task) + prepared.page + "".join(prepared.notices)


def test_a_task_gets_a_name_that_can_be_a_folder(bench: Any) -> None:
    path = bench.save(bench.houses(), "My houses (2024).csv")
    assert source.prepare(str(path), TaskOptions(target="price"), bench.folder / "task").task.name == "My-houses-2024"


def with_test(bench: Any, frame: pd.DataFrame) -> dict[str, Any]:
    return {"test": bench.save(frame, "test.csv")}


BAD: dict[str, tuple[Any, str]] = {
    "no target named": (lambda b: b.prepare(b.houses(), ""), r"Name its column with --target"),
    "unknown target": (lambda b: b.prepare(b.houses(), "prices"), r"no column 'prices'; did you mean 'price'\?"),
    "unknown target in capitals": (lambda b: b.prepare(b.houses(), "PRICE"), r"did you mean 'price'\?"),
    "unknown drop": (
        lambda b: b.prepare(b.houses(), "price", drop=("rums",)),
        r"--drop: .*'rums'; did you mean 'rooms'",
    ),
    "unknown group": (lambda b: b.prepare(b.houses(), "price", group="xyz"), r"--group: .*'xyz'; it has area, rooms"),
    "unknown time": (lambda b: b.prepare(b.houses(), "price", time_column="xyz"), r"--time-column: .*no column 'xyz'"),
    "unknown id": (lambda b: b.prepare(b.houses(), "price", id="xyz"), r"--id: .*no column 'xyz'"),
    "target dropped": (
        lambda b: b.prepare(b.houses(), "price", drop=("price",)),
        r"--drop names 'price', which is the target",
    ),
    "group dropped": (
        lambda b: b.prepare(b.houses(), "price", group="rooms", drop=("rooms",)),
        r"--group and --drop both name 'rooms'",
    ),
    "nothing left": (
        lambda b: b.prepare(b.houses()[["area", "price"]], "price", drop=("area",)),
        r"has no feature column left",
    ),
    "id repeated": (lambda b: b.prepare(b.houses(), "price", id="rooms"), r"--id: 'rooms' is not unique .* --group\?"),
    "id with gaps": (
        lambda b: b.prepare(b.houses().assign(k=[None, *range(1, 400)]), "price", id="k"),
        r"--id: column 'k' is missing in some rows",
    ),
    "group with gaps": (
        lambda b: b.prepare(b.houses().assign(g=[None, *[i % 9 for i in range(1, 400)]]), "price", group="g"),
        r"--group: column 'g' of .* is missing in 1 rows",
    ),
    "few groups": (lambda b: b.prepare(b.houses(), "price", group="quarter"), r"only 3 different values; at least 5"),
    "one moment": (lambda b: b.prepare(b.houses().assign(t=2020), "price", time_column="t"), r"only one value"),
    "no times": (lambda b: b.prepare(b.houses(), "price", time_column="quarter"), r"holds '\w+', which is no time"),
    "one class": (
        lambda b: b.prepare(b.churn().assign(left="no"), "left"),
        r"target 'left' has the one value no in all 500",
    ),
    "rare class": (
        lambda b: b.prepare(b.flowers().assign(species=lambda t: t["species"].where(t.index > 0, "rose")), "species"),
        r"class 'rose' of target 'species' has 1 rows, every class needs 5",
    ),
    "target always missing": (lambda b: b.prepare(b.churn().assign(left=None), "left"), r"missing in every row"),
    "target is an id": (
        lambda b: b.prepare(b.houses().assign(name=[f"n{i}" for i in range(400)]), "name"),
        r"400 different values in 400 rows, too many for classes",
    ),
    "few rows": (lambda b: b.prepare(b.houses(39), "price"), r"has 39 rows with a target, at least 40"),
    "unknown metric": (
        lambda b: b.prepare(b.houses(), "price", metric="rmsel"),
        r"no metric 'rmsel'; did you mean rms",
    ),
    "metric for classes": (
        lambda b: b.prepare(b.houses(), "price", metric="roc_auc"),
        r"metric roc_auc does not fit target 'price', which is multiclass|too many for classes",
    ),
    "metric for two classes": (
        lambda b: b.prepare(b.flowers(), "species", metric="auc"),
        r"metric roc_auc does not fit target 'species', which is multiclass .*log_loss",
    ),
    "metric for numbers": (
        lambda b: b.prepare(b.churn(), "left", metric="rmse"),
        r"metric rmse does not fit target 'left', which is binary",
    ),
    "negative with rmsle": (
        lambda b: b.prepare(b.houses().assign(price=lambda t: t["price"] - 300_000), "price", metric="rmsle"),
        r"metric rmsle needs a target of at least 0, 'price' goes down to -",
    ),
    "holdout": (
        lambda b: b.prepare(b.houses(), "price", holdout=1.5),
        r"share held out must lie above 0 and up to 0.9",
    ),
    "test lacks one": (
        lambda b: b.prepare(b.houses(), "price", **with_test(b, b.houses().drop(columns=["price", "age"]))),
        r"--test: .*test.csv has no column 'age'",
    ),
    "test lacks two": (
        lambda b: b.prepare(b.houses(), "price", **with_test(b, b.houses()[["area", "rooms"]])),
        r"test.csv lacks 2 columns of the training table: quarter, age; add or --drop",
    ),
    "test has texts": (
        lambda b: b.prepare(b.houses(), "price", **with_test(b, b.houses().astype({"age": str}).assign(age="old"))),
        r"column 'age' of .*test.csv holds 'old' \(line 2\), in the training table it is a number",
    ),
    "test has a new class": (
        lambda b: b.prepare(b.churn(), "left", **with_test(b, b.churn(50).assign(left="maybe"))),
        r"class 'maybe' of the target occurs in the test table only",
    ),
    "test has the target at times": (
        lambda b: b.prepare(
            b.houses(), "price", **with_test(b, b.houses().assign(price=lambda t: t["price"].where(t.index > 3)))
        ),
        r"has the target, but not in every row",
    ),
    "ids in both": (
        lambda b: b.prepare(
            b.houses().assign(k=range(400)), "price", id="k", **with_test(b, b.houses(9).assign(k=range(9)))
        ),
        r"'k' 0 occurs in the training and in the test table",
    ),
    "target called fold": (lambda b: b.prepare(b.houses().rename(columns={"price": "fold"}), "fold"), r"'fold' names"),
    "class called like the id": (
        lambda b: b.prepare(b.flowers().assign(rose=range(450)).replace("setosa", "rose"), "species", id="rose"),
        r"'rose' names a column of predictions, but also the id",
    ),
    "time takes a class away": (
        lambda b: b.prepare(b.churn().sort_values("left").assign(t=range(500)), "left", time_column="t", holdout=0.8),
        r"after holding rows out by --time-column t, class 'yes' .* is left to no training row",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_work_is_one_clear_line(bench: Any, case: str) -> None:
    call, words = BAD[case]
    with pytest.raises(UsageError) as caught:
        call(bench)
    assert re.search(words, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


FILES: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ("nowhere.csv", None, r"training table .*nowhere.csv does not exist; "),
    "empty": ("t.csv", b"", r"is empty; give a table with a header"),
    "blank": ("t.csv", b"\n\n", r"is empty"),
    "header only": ("t.csv", b"a,b,y\n", r"has a header but no rows"),
    "one column": ("t.csv", b"y\n1\n2\n", r"line 1: only one column, 'y'"),
    "too many fields": (
        "t.csv",
        b"a,b,y\n1,2,3\n1,2,3\n1,2,3,4\n",
        r"line 4: 4 fields where the header has 3; quote fields",
    ),
    "too many fields at once": (
        "t.csv",
        b"a,b,y\n1,2,3,4\n1,2,3,4\n",
        r"line 2: 4 fields, but the header names 3 columns",
    ),
    "open quote": ("t.csv", b'a,b,y\n1,2,3\n1,"2,3\n1,2,3\n', r"line 3: a quoted field is never closed"),
    "two columns of one name": ("t.csv", b"a,a,y\n1,2,3\n", r"line 1: two columns are named 'a'"),
    "latin-1": ("t.csv", "a,b,y\n1,2,3\nä,b,3\n".encode("latin-1"), r"line 3: not UTF-8 text \(byte 0xe4\)"),
    "binary": ("t.csv", b"a,b,y\n1,\x00,3\n", r"line 2: a NUL character"),
    "broken gzip": ("t.csv.gz", b"\x1f\x8b\x08\x00nonsense", r"t.csv.gz cannot be read"),
    "excel": ("t.xlsx", b"PK", r"of a kind that gome does not read; save it as CSV"),
    "broken parquet": ("t.parquet", b"PAR1 no", r"cannot be read as Parquet|needs pyarrow"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_table_is_one_clear_line(tmp_path: Path, case: str) -> None:
    name, data, words = FILES[case]
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        source.prepare(str(tmp_path / name), TaskOptions(target="y"), tmp_path / "task")
    assert re.search(words, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "task").exists()


def test_a_folder_given_as_test_table_is_refused(bench: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"test table .* is a folder, not a table"):
        bench.prepare(bench.houses(), "price", test=tmp_path)

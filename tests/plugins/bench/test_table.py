"""The table of a bench comes back from its files as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.kernel.errors import UsageError
from gome.plugins.bench.table import Point, Row, decode, encode, read_table, write_table

CURVE = (
    Point(attempt="a1", seconds=1.5, executions=1, validation_best=None, hidden_of_best=None),
    Point(attempt="a2", seconds=3.0, executions=2, tokens=7, money=None, validation_best=0.5, hidden_of_best=0.4),
)
FULL = Row(
    bench="b",
    cell="c1",
    run="b-c1",
    task="ames",
    split="held-out",
    search="gradient",
    factors={"strength": 0.5, "guard": "off"},
    seed=3,
    greater_is_better=True,
    hidden=0.4,
    money=None,
    quality=-0.25,
    curve=CURVE,
)
BARE = Row(bench="b", cell="c2", run="b-c2", task="leaf", search="aide", outcome="failed")


@pytest.mark.parametrize("name", ["table.parquet", "table.jsonl"])
def test_a_table_is_read_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    write_table(tmp_path / name, [FULL, BARE])
    assert read_table(tmp_path / name) == [FULL, BARE]


def test_columns_of_nulls_keep_their_type_in_parquet(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_table(tmp_path / "table.parquet", [BARE])
    frame = pandas.read_parquet(tmp_path / "table.parquet")
    assert frame["hidden"].dtype == float
    assert list(frame.columns) == list(Row.__struct_fields__)


def test_a_score_that_is_no_number_is_read_back_as_missing() -> None:
    strange = Row(bench="b", cell="c", run="r", task="t", search="s", hidden=float("nan"))
    assert decode(encode([strange]))[0].hidden is None


def test_what_is_no_table_is_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(encode([FULL]) + b'{"bench": 3}\n')
    with pytest.raises(UsageError, match=r"t\.jsonl, line 2"):
        read_table(tmp_path / "t.jsonl")
    (tmp_path / "t.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="no Parquet file"):
        read_table(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=r"\.parquet or a \.jsonl"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["table.jsonl", "table.parquet"])
def test_a_table_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=f"cannot write .*{name}"):
        write_table(tmp_path / name, [BARE])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(UsageError, match="cannot write"):
        write_table(tmp_path / "nowhere" / name, [BARE])

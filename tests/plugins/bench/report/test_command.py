"""`gome report` on tables of benches: what it prints, writes and refuses."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from gome.plugins.bench.report import command, plots
from gome.plugins.bench.report.command import fits
from gome.plugins.bench.table import write_table
from tests.kernel.verbs import Gome, caller
from tests.plugins.bench.report.invented import bench, row


@pytest.fixture
def gome(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gome:
    monkeypatch.setenv("GOME_HOME", str(tmp_path / "home"))
    return caller(capsys)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.jsonl"
    write_table(path, bench(strengths=(0.2, 1.0), seeds=(0,)))
    return path


def test_a_table_is_reported_in_sentences_and_tables(gome: Gome, table: Path) -> None:
    said = gome("report", str(table))
    assert said.code == 0, said.err
    assert "gradient is ahead of random by" in said.out and "How far each came" in said.out
    assert "more lines with --full" in said.out
    full = gome("report", str(table), "--full").out
    assert len(full.splitlines()) > len(said.out.splitlines()) and "with --full" not in full


def test_json_is_the_same_to_the_byte_whatever_the_order_of_the_rows(gome: Gome, table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    random.Random(2).shuffle(lines)
    (tmp_path / "shuffled.jsonl").write_text("\n".join(lines))
    one, two = (gome("report", str(path), "--json").out for path in (table, tmp_path / "shuffled.jsonl"))
    assert one == two
    found = json.loads(one)
    assert found["about"]["rows"] == len(lines) and found["parts"][0]["policies"][0] == "gradient"
    assert "NaN" not in one


def test_several_tables_are_taken_together(gome: Gome, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_table(tmp_path / "more.parquet", bench(part="held-out", strengths=(1.0,), seeds=(0,)))
    found = json.loads(gome("report", str(table), str(tmp_path / "more.parquet"), "--json").out)
    assert [p["name"] for p in found["parts"]] == ["dev", "held-out"] and len(found["held_out"]) == 1


def test_a_page_and_a_picture_are_written(gome: Gome, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    html, plot = tmp_path / "page.html", tmp_path / "plot.svg"
    said = gome("report", str(table), "--html", str(html), "--plot", str(plot), "--picture", "wins")
    assert said.code == 0 and str(html) in said.err and "Who wins how often" in said.err
    assert html.read_text().startswith("<!doctype html>") and "<svg" in plot.read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["there-is-none.jsonl"], "there is no file there-is-none.jsonl"),
        (["TABLE", "--picture", "wins"], "name a file"),
        (["TABLE", "--plot", "x.txt"], "no kind of picture"),
        (["TABLE", "--html", "nowhere/x.html"], "no folder"),
        (["EMPTY"], "no finished cell"),
        (["what?!"], "there is no report on 'what?!'"),
    ],
)
def test_bad_input_is_said_in_a_line(
    gome: Gome, table: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    named = [{"TABLE": str(table), "EMPTY": str(empty)}.get(a, a) for a in arguments]
    said = gome("report", *named)
    assert said.code == 2 and reason in said.err and "Traceback" not in said.err


def test_options_may_stand_first_and_those_of_other_reports_are_left_to_them(gome: Gome, table: Path) -> None:
    assert gome("report", "--json", str(table)).code == 0
    assert fits(["--html", "x.html", "a.gome", "b.parquet", "some-bench"]) and fits(["a.gome:b", "--full"])
    assert (
        not fits(["--mle-bench"]) and not fits(["folder", "--mle-bench"]) and not fits(["notes.txt"]) and not fits([])
    )


def test_every_picture_of_the_page_can_be_asked_for() -> None:
    assert set(command.PICTURES) == {picture.name for picture in plots.PICTURES}


def test_the_help_of_reports_names_it(gome: Gome) -> None:
    assert "Compare the searches of a bench" in gome("report", "--help").out
    assert "--picture" in gome("report", "bench", "--help").out


def test_a_line_that_is_no_row_is_named(gome: Gome, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"bench": 1}\n')
    assert "line 1" in gome("report", str(path)).err


def test_a_failed_bench_is_reported_with_its_failures(gome: Gome, tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    write_table(path, [row(s, hidden=None, baseline=None, metric="", outcome="lost") for s in ("gradient", "aide")])
    said = gome("report", str(path))
    assert said.code == 0 and "2 runs handed in nothing" in said.out and "lost" in said.out


def test_arms_of_one_search_are_held_against_the_one_that_is_called_like_it(gome: Gome, tmp_path: Path) -> None:
    path = tmp_path / "arms.jsonl"
    plain = bench(searches=("gradient", "random"), strengths=(1.0,), fail=0)
    arms = [replace(r, search="gradient", factors={"arm": r.search.replace("random", "no-memory")}) for r in plain]
    write_table(path, arms)
    said = gome("report", str(path)).out
    assert "gradient is ahead of no-memory by" in said and "gradient − no-memory" in said
    (part,) = json.loads(gome("report", str(path), "--json").out)["parts"]
    assert [p["policy"] for p in part["anytime"] if p["currency"] == "seconds"] == ["gradient", "no-memory"]

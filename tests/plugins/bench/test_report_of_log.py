"""`gome report` on benches where they were made: in the log, in an archive, and as the table that was exported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.plugins.bench import toys
from tests.plugins.bench.conftest import Terminal

Finished = list[dict[str, Any]]


def test_log_archive_and_table_make_the_same_report_to_the_byte(terminal: Terminal, finished: Finished) -> None:
    assert terminal.gome("bench", "table", "pair", "pair.jsonl").code == 0
    assert terminal.gome("bench", "archive", "pair", "pair.gome").code == 0
    said = [terminal.gome("report", what, "--json") for what in ("pair", "pair.jsonl", "pair.gome", "pair.gome:pair")]
    assert [s.code for s in said] == [0, 0, 0, 0], [s.err for s in said]
    assert len({s.out for s in said}) == 1
    found = json.loads(said[0].out)
    assert found["about"]["benches"] == ["pair"] and found["about"]["rows"] == 8 and found["unfinished"] == []
    assert all(found["about"][name] for name in ("playbooks", "commits", "tasks"))
    (pair,) = found["parts"][0]["paired"]
    assert pair["blocks"] == 4 and pair["wins"] + pair["ties"] + pair["losses"] == 4


def test_cells_that_could_not_be_run_are_reported_as_failures(terminal: Terminal, finished: Finished) -> None:
    text = toys.suite(tasks=1).replace("'alpha'", f"'alpha', '{toys.SICK}'")
    suite = terminal.write("ill.toml", text)
    terminal.gome("bench", suite, "--run", "ill")
    said = terminal.gome("report", "ill")
    assert said.code == 0 and "handed in nothing" in said.out and toys.SICK in said.out, said.err


def test_a_bench_that_was_killed_is_reported_with_the_cells_that_it_lacks(terminal: Terminal) -> None:
    suite = terminal.write("cut.toml", toys.suite(tasks=1, parallel="1"))
    process = terminal.start("bench", suite, "--run", "cut", seconds=0.2)
    assert process.stderr is not None
    assert any("[1/4]" in line for line in process.stderr)
    process.kill()
    process.communicate()
    said = terminal.gome("report", "cut")
    assert said.code == 0, said.err
    assert "planned cells have not ended" in said.out and "alpha toy-" in said.out
    found = json.loads(terminal.gome("report", "cut", "--json").out)
    assert found["about"]["rows"] + len(found["unfinished"]) == 4 and found["unfinished"]


def test_a_run_that_is_no_bench_is_refused(terminal: Terminal, finished: Finished) -> None:
    run = finished[8]["run"]
    said = terminal.gome("report", run)
    assert said.code == 2 and f"run {run} is no bench" in said.err
    assert terminal.gome("report", "nobody").code == 2
    assert terminal.gome("export", run, "one.gome").code == 0
    assert "holds no bench; `gome show one.gome`" in terminal.gome("report", "one.gome").err
    whole = (terminal.folder / "one.gome").read_bytes()
    (terminal.folder / "cut.gome").write_bytes(whole[:400])
    assert "holds no bench that can be read, for it is damaged (" in terminal.gome("report", "cut.gome").err


@pytest.mark.parametrize("form", ["bench", "pair"])
def test_the_report_may_be_named_or_found(terminal: Terminal, finished: Finished, form: str) -> None:
    said = terminal.gome("report", *dict.fromkeys([form, "pair"]))
    assert said.code == 0 and "How far each came" in said.out

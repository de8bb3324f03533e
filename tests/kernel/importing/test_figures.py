"""The three results of imported traces: what is counted, against what, and how sure it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gome.events import Trajectory
from gome.kernel.cli import gome
from gome.kernel.errors import UsageError
from gome.kernel.importing.figures import Rate, figures, play, resampled, wilson
from gome.kernel.importing.plot import check, draw
from gome.kernel.importing.reading import reports, traces
from tests.kernel.importing.files import competition, loop, opened, take, trajectory, write
from tests.lookalikes import Shape
from tests.lookalikes import write as look_alike

pytestmark = pytest.mark.anyio


def graded(medal: str | None) -> dict[str, Any]:
    """A test report with this medal."""
    medals = {f"{name}_medal": name == medal for name in ("gold", "silver", "bronze")}
    return {"score": 0.5, "any_medal": medal is not None, **medals}


def told(*scores: float | None, components: str = "", medals: str = "", greater: bool = True) -> dict[str, Any]:
    """A competition of which each loop is accepted where it beats the best before; medals as letters g, s, b, -."""
    loops, best, code = [], None, ""
    names = {"g": "gold", "s": "silver", "b": "bronze", "-": None}
    for number, score in enumerate(scores):
        better = score is not None and (best is None or (score > best) == greater)
        loops.append(
            loop(
                base_code=code,
                code=f"c{number}",
                valid_score=score,
                feedback={"decision": better},
                final_hypothesis={"hypothesis": f"h{number}", "component": (components or "M" * 9)[number]},
                test_report=graded(names[medals[number]]) if medals else None,
            )
        )
        if better:
            best, code = score, f"c{number}"
    return competition(*loops, greater=greater)


def test_wilson_has_the_values_of_the_books() -> None:
    found = wilson(10, 40)
    assert (found.share, round(found.low, 4), round(found.high, 4)) == (0.25, 0.1419, 0.4019)
    assert wilson(0, 0) == Rate(0, 0, None, 0.0, 1.0) and wilson(0, 5).low == 0.0


def test_the_bootstrap_is_the_same_for_the_same_parts_and_wider_for_fewer() -> None:
    few, many = [(1.0, 4.0), (3.0, 4.0)], [(1.0, 4.0), (3.0, 4.0)] * 50
    assert resampled(few) == resampled(few) and resampled(few).share == resampled(many).share == 0.5
    assert resampled(few).high - resampled(few).low > resampled(many).high - resampled(many).low


async def test_the_three_results_are_counted_by_hand(tmp_path: Path) -> None:
    first = told(0.5, 0.6, None, 0.55, 0.8, components="FMMEE", medals="-s---")
    second = told(3.0, 4.0, 2.0, components="FFM", medals="g--", greater=False)
    path = write(tmp_path / "Trace_1.json", cats=first, dogs=second, birds=told(0.1))
    async with opened(tmp_path) as connection:
        await take(connection, path)
        (found,) = await traces(connection)
    assert (found.trace, found.competitions, found.graded, found.loops) == ("Trace_1", 3, 2, 9)
    assert {rule: rate.count for rule, rate in found.medals.items()} == {
        "last accepted": 0,
        "best accepted": 0,
        "any attempt": 2,
    }
    # cats: 4 loops had something to beat and two did; dogs: one of two; birds: none had.
    assert (found.improvement.count, found.improvement.of, found.improvement.share) == (3, 6, 0.5)
    parts = {c.name: (c.attempts, c.accepted, c.gained, round(c.share.count, 6), c.share.of) for c in found.components}
    assert parts == {
        "E": (2, 1, 1, round(2 / 3, 6), 2),
        "F": (3, 2, 0, 0.0, 2),
        "M": (4, 3, 2, round(1 + 1 / 3, 6), 2),
    }


async def test_a_medal_is_that_of_the_attempt_that_the_rule_names(tmp_path: Path) -> None:
    loops = told(0.5, 0.9, 0.7, medals="-gb")
    loops["loop_2"]["feedback"]["decision"] = True
    path = write(tmp_path / "Trace_1.json", cats=loops)
    async with opened(tmp_path) as connection:
        _, (run,) = await take(connection, path)
        medals = {name: r.medal for name, r in (await reports(connection, run)).items()}
        assert medals == {"loop_0": "", "loop_1": "gold", "loop_2": "bronze"}
        for name in ("loop_1", "loop_2"):
            loops[name]["test_report"] = graded(None)
        played = play(await trajectory(connection, run), {"loop_2": (await reports(connection, run))["loop_2"]})
        assert played.medals == {"last accepted": True, "best accepted": None, "any attempt": True}


async def test_without_an_imported_run_there_is_nothing_to_report(tmp_path: Path) -> None:
    async with opened(tmp_path) as connection:
        with pytest.raises(UsageError, match="gome import"):
            await traces(connection)
    assert play(Trajectory(), {}).loops == 0 and figures("t", []).improvement.share is None


async def test_look_alikes_are_drawn(tmp_path: Path) -> None:
    async with opened(tmp_path) as connection:
        for seed in (1, 2):
            await take(connection, look_alike(tmp_path / f"Trace_{seed}.json", Shape(3, 8, 300), seed))
        found = await traces(connection)
        assert [f.trace for f in found] == ["Trace_1", "Trace_2", "all"]
        assert found[2].loops == found[0].loops + found[1].loops == 48
    for name in ("figures.png", "figures.svg"):
        check(tmp_path / name)
        draw(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5_000
    with pytest.raises(UsageError, match="no kind of picture"):
        check(tmp_path / "figures.txt")
    with pytest.raises(UsageError, match="no folder"):
        check(tmp_path / "there" / "figures.png")


def test_the_verb_prints_tables_and_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOME_HOME", str(tmp_path / "home"))
    path = look_alike(tmp_path / "Trace_1.json", Shape(2, 5, 300), 1)
    runner = CliRunner()
    taken = runner.invoke(gome, ["import", str(path), "--json"])
    assert taken.exit_code == 0, taken.output
    said = runner.invoke(gome, ["report", "traces"])
    assert said.exit_code == 0 and "medal, last accepted" in said.output and "41.1%" in said.output
    run = json.loads(taken.stdout)["runs"][0]
    lines = runner.invoke(gome, ["report", "traces", run, "--json"]).stdout.splitlines()
    assert [json.loads(line)["competitions"] for line in lines] == [1]

"""RD-Agent log folders: JSON and text are read, pickles are refused by name and never opened."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gome.events import CODEC, ReportImported, Trajectory
from gome.kernel.connect import Connection, connect, grades
from gome.kernel.errors import UsageError
from gome.kernel.importing.report import Report
from gome.kernel.importing.sources import check, take_in
from gome.kernel.settings import load

pytestmark = pytest.mark.anyio

REPORT = {"competition_id": "houses", "score": 0.12, "gold_medal": False, "any_medal": True, "bronze_medal": True}


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.fixture
async def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    monkeypatch.setenv("GOME_HOME", str(tmp_path / "home"))
    async with connect(load(), memory=True) as opened:
        yield opened


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two loops, written out as JSON by tag, with a pickle left in it."""
    folder = tmp_path / "2025-09-01_10-00-00-000000"
    stamp = "2025-09-01_10-00-01-000000.json"
    put(folder / "competition" / "123" / stamp, '"houses"')
    put(folder / "scenario.json", {"metric_name": "RMSE", "metric_direction": False, "background": "Prices."})
    idea = {"hypothesis": "Take logs.", "component": "HypothesisComponent.FeatureEng"}
    first = {"hypothesis": idea, "pending_tasks_list": [[{"name": "FeatureEng", "description": "# Sketch"}]]}
    put(folder / "Loop_0" / "direct_exp_gen" / "123-456" / stamp, first)
    done = {"experiment_workspace": {"file_dict": {"main.py": "print(0)"}}, "running_info": {"running_time": 61.5}}
    done["running_info"]["result"] = {"RMSE": {"lgb": 0.2, "ensemble": 0.15}}  # type: ignore[index]
    put(folder / "Loop_0" / "running" / "123" / stamp, done)
    put(folder / "Loop_0" / "feedback" / "123" / stamp, {"decision": True, "reason": "first valid"})
    put(folder / "Loop_0" / "running" / "mle_score" / "123" / "2025-09-02_10-00-00-000000.txt", REPORT)
    put(folder / "Loop_2" / "feedback.json", {"decision": False, "exception": "CoderError"})
    put(folder / "Loop_2" / "running" / "debug_llm" / "1" / stamp, "{broken")
    return folder


async def told(connection: Connection, report: Report) -> Trajectory:
    t = Trajectory()
    async for sealed in connection.log.read(report.competitions[0].run):
        for event in CODEC.commit(sealed, connection.artifacts.text).events:
            t.apply(event)
    return t


async def test_loops_written_out_as_json_become_attempts_and_their_grades_go_to_the_vault(
    connection: Connection, log: Path
) -> None:
    report = await take_in(connection, log)
    t = await told(connection, report)
    assert t.started is not None and (t.started.task.name, t.started.task.metric.name) == ("houses", "RMSE")
    first, last = t.attempts["loop_0"], t.attempts["loop_2"]
    assert (first.score, first.accepted, first.seconds) == (0.15, True, 61.5)
    assert str(first.code and first.code.program) == "print(0)"
    assert first.hypothesis is not None and first.hypothesis.component == "FeatureEng"
    assert first.hypothesis.change == {"sketch": "# Sketch"}
    assert (last.accepted, last.reason) == (False, "CoderError")
    run = report.competitions[0].run
    assert {name: grade.score for name, grade in (await grades(connection, run)).items()} == {"loop_0": 0.12}
    records = [s.stored async for s in connection.log.read(run)]
    assert not any(b"bronze" in stored for stored in records), "a grade is in the open log"
    vault = [e.payload async for s in connection.vault.read(run) for e in CODEC.commit(s).events]
    assert [p.medal for p in vault if isinstance(p, ReportImported)] == ["bronze"]
    assert not report.ok and "debug_llm" in report.damage[0] and "is no JSON" in report.damage[0]
    assert (await take_in(connection, log)).competitions[0].state == "known"


async def test_a_pickle_is_refused_by_name_and_never_opened(connection: Connection, log: Path, tmp_path: Path) -> None:
    bomb, burst = log / "Loop_0" / "coding" / "123" / "2025-09-01_10-00-02-000000.pkl", tmp_path / "burst"
    bomb.parent.mkdir(parents=True)
    bomb.write_bytes(pickle.dumps(Bomb(burst)))
    os.symlink("/etc/passwd", log / "Loop_0" / "passwd.txt")
    report = await take_in(connection, log)
    assert not burst.exists() and f"{bomb.relative_to(log)}: refused" in " ".join(report.notices)
    records = [s.stored async for s in connection.log.read(report.competitions[0].run)]
    assert not any(b"root:" in stored for stored in records), "a link was followed"


async def test_workspaces_are_attempts_in_the_order_of_their_names(connection: Connection, tmp_path: Path) -> None:
    folder = tmp_path / "RD-Agent_workspace"
    for name, score in (("b", "0.3"), ("a", "0.4")):
        put(folder / name / "main.py", f"print({name!r})")
        put(folder / name / "scores.csv", f",RMSE\nlgb,0.9\nensemble,{score}\n")
        put(folder / name / "submission.csv", "id,y\n")
    put(folder / "b" / "mle_score.txt", REPORT)
    report = await take_in(connection, folder)
    t = await told(connection, report)
    assert [a.score for a in t.attempts.values()] == [0.4, 0.3] and report.total("graded") == 1
    said = " ".join(report.notices)
    assert "2 workspaces" in said and "a/submission.csv: not read" in said and "smaller is taken" in said


async def test_a_log_of_pickles_only_is_refused_with_advice(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "log" / "Loop_0").mkdir(parents=True)
    (tmp_path / "log" / "Loop_0" / "x.pkl").write_bytes(pickle.dumps(1))
    check(tmp_path / "log")
    with pytest.raises(UsageError, match=r"1 pickle and 0 other files were not read.*RD-Agent_workspace"):
        await take_in(connection, tmp_path / "log")

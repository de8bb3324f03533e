"""Importing a traces file: runs like live ones, nothing lost, nothing twice, hidden grades in the vault only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gome.events import CODEC, IMPORTED, ImportCompleted, ReportImported, RunFinished, RunStarted, RunSuspended
from gome.kernel.connect import grades
from gome.kernel.errors import UsageError
from gome.kernel.importing import is_traces
from gome.kernel.importing.rebuild import write_traces
from gome.kernel.replay import Verifier
from gome.kernel.start import plugins_of
from tests.kernel.importing.files import back, canonical, competition, events, loop, opened, take, trajectory, write
from tests.lookalikes import Shape
from tests.lookalikes import write as look_alike

pytestmark = pytest.mark.anyio
REPORT = {"score": 0.777123, "any_medal": True, "gold_medal": False, "silver_medal": True, "bronze_medal": False}


async def test_each_competition_becomes_a_run_with_the_events_of_a_live_one(tmp_path: Path) -> None:
    first = loop(code="one")
    second = loop(base_code="one", code="two", valid_score=0.75, sota_hypothesis=first["final_hypothesis"])
    third = loop(base_code="two", code="three", valid_score=0.6, feedback={"decision": False, "reason": "worse"})
    path = write(tmp_path / "Trace_7.json", cats=competition(first, second, third), dogs=competition(loop()))
    async with opened(tmp_path) as connection:
        report, runs = await take(connection, path)
        assert len(runs) == 2 and runs[0].startswith("cats-Trace_7-")
        assert (report.ok, report.total("loops"), report.total("accepted")) == (True, 4, 3)
        t = await trajectory(connection, runs[0])
        assert [(a.id, a.parent, a.accepted, a.score) for a in t.attempts.values()] == [
            ("loop_0", "", True, 0.5),
            ("loop_1", "loop_0", True, 0.75),
            ("loop_2", "loop_1", False, 0.6),
        ]
        assert (t.best, t.attempts["loop_1"].gain, t.attempts["loop_2"].reason) == ("loop_1", 0.25, "worse")
        assert t.attempts["loop_2"].hypothesis and t.attempts["loop_2"].hypothesis.component == "Model"
        assert str(t.attempts["loop_1"].code and t.attempts["loop_1"].code.program) == "two"
        assert t.finished == RunFinished("done", "imported as recorded")
        assert t.started and (t.started.profile, t.started.task.metric.greater_is_better) == (IMPORTED, True)


async def test_a_second_import_adds_nothing(tmp_path: Path) -> None:
    path = look_alike(tmp_path / "Trace_1.json", Shape(3, 6), seed=3)
    async with opened(tmp_path) as connection:
        _, runs = await take(connection, path)
        heads = [await log.head(run) for run in runs for log in (connection.log, connection.vault)]
        report, again = await take(connection, path)
        assert again == runs
        assert heads == [await log.head(run) for run in runs for log in (connection.log, connection.vault)]
        assert {c.state for c in report.competitions} == {"known"} and report.total("added") == 0


@pytest.mark.parametrize("seed", range(8))
async def test_what_was_imported_comes_out_as_it_was(tmp_path: Path, seed: int) -> None:
    path = look_alike(tmp_path / "Trace_1.json", Shape(2, 12, 40_000 if seed == 0 else 900), seed)
    async with opened(tmp_path) as connection:
        report, _ = await take(connection, path)
        whole = json.loads(path.read_bytes())
        assert report.ok and {c.name for c in report.competitions} == set(whole)
        for c in report.competitions:
            found = await back(connection, c.run)
            assert canonical(found) == json.dumps({c.name: whole[c.name]}, sort_keys=True)


async def test_a_whole_file_is_written_again(tmp_path: Path) -> None:
    path = look_alike(tmp_path / "Trace_1.json", Shape(3, 5, 300), seed=7)
    async with opened(tmp_path) as connection:
        report, _ = await take(connection, path)
        again = tmp_path / "again.json"
        size = await write_traces(connection, [c.run for c in report.competitions], again, grades=True)
        assert size == again.stat().st_size and canonical(again.read_bytes()) == canonical(path.read_bytes())
        with pytest.raises(UsageError, match="cannot write"):
            await write_traces(connection, [c.run for c in report.competitions], tmp_path / "no" / "again.json")


async def test_unknown_and_odd_things_come_out_as_they_were(tmp_path: Path) -> None:
    odd = loop(code=None, base_code=["no", "text"], mystery={"a": [1, {"b": None}]}, valid_score="tensor(0.25)")
    path = tmp_path / "Trace_1.json"
    told = competition(
        odd, loop(code="\ud800 half a pair"), more={"of": "this"}, loop_9=[1, 2], loop_x={"test_score": 1}
    )
    path.write_text(
        json.dumps({"cats": told}).replace('"running_time": 12.5', '"running_time": -Infinity, "big": 1e999')
    )
    async with opened(tmp_path) as connection:
        report, (run,) = await take(connection, path)
        assert canonical(await back(connection, run)) == canonical(path.read_bytes())
        assert [part for part, _, _ in report.competitions[0].kept] == ["more", "loop_9", "loop_x"]
        assert report.plain()["unseen"] == {
            **{f"competition.{name}": 1 for name in ("more", "loop_x")},
            **{"loop.mystery": 1, "loop.big": 2},
        }
        t = await trajectory(connection, run)
        assert t.attempts["loop_0"].score == 0.25


async def test_test_reports_are_in_the_vault_and_nowhere_else(tmp_path: Path) -> None:
    path = write(tmp_path / "Trace_1.json", cats=competition(loop(test_report=REPORT, mle_score="0.777123"), loop()))
    async with opened(tmp_path) as connection:
        report, (run,) = await take(connection, path)
        assert report.total("graded") == 1
        async for sealed in connection.log.read(run):
            assert b"777123" not in sealed.stored and b"silver" not in sealed.stored
        assert not [p for p in (tmp_path / "artifacts").rglob("*") if p.is_file() and b"777123" in p.read_bytes()]
        found = [e.payload async for s in connection.vault.read(run) for e in CODEC.commit(s).events]
        assert isinstance(found[0], ReportImported) and (found[0].medal, found[0].score) == ("silver", 0.777123)
        assert (await grades(connection, run))["loop_0"].score == 0.777123
        assert b"777123" not in await back(connection, run, grades=False)
        assert canonical(await back(connection, run)) == canonical(path.read_bytes())


async def test_a_truncated_copy_and_the_whole_file_are_one_run(tmp_path: Path) -> None:
    told = competition(loop(code="one"), loop(base_code="one", code="two", test_report=REPORT), loop(base_code="two"))
    path = write(tmp_path / "Trace_1.json", cats=told, dogs=competition(loop()))
    whole = path.read_bytes()
    async with opened(tmp_path) as connection:
        path.write_bytes(whole[: whole.index(b'"loop_2"') + 30])
        report, (run,) = await take(connection, path)
        assert not report.ok and f"byte {path.stat().st_size:,}" in report.damage[0]
        said = await events(connection, run)
        assert isinstance(said[-1].payload, RunSuspended)
        await take(connection, path)
        assert len(await events(connection, run)) == len(said)
        path.write_bytes(whole)
        report, runs = await take(connection, path)
        assert run in runs and len(runs) == 2 and [c.state for c in report.competitions] == ["extended", "new"]
        t = await trajectory(connection, run)
        assert [(a.id, a.parent) for a in t.attempts.values()] == [
            ("loop_0", ""),
            ("loop_1", "loop_0"),
            ("loop_2", "loop_1"),
        ]
        said = await events(connection, run)
        assert isinstance(said[-1].payload, RunFinished) and len({e.id for e in said}) == len(said)
        assert canonical(await back(connection, run)) == json.dumps({"cats": json.loads(whole)["cats"]}, sort_keys=True)
        path.write_bytes(whole[:-30])
        _, again = await take(connection, path)
        assert again == runs and len(await events(connection, run)) == len(said)


async def test_a_better_copy_replaces_the_loop_that_could_not_be_read(tmp_path: Path) -> None:
    told = competition(loop(code="one"), loop(base_code="one", code="two"), loop(base_code="two"))
    path = write(tmp_path / "Trace_1.json", cats={**{k: v for k, v in told.items() if k != "scenario"}, "scenario": {}})
    whole = path.read_bytes()
    async with opened(tmp_path) as connection:
        path.write_bytes(whole.replace(b'"code": "two"', b'"code" "two" '))
        report, (run,) = await take(connection, path)
        assert not report.ok and isinstance((await events(connection, run))[-1].payload, RunSuspended)
        path.write_bytes(whole)
        report, runs = await take(connection, path)
        assert runs == [run] and report.competitions[0].state == "extended"
        assert canonical(await back(connection, run)) == canonical(whole)
        assert isinstance((await events(connection, run))[-1].payload, RunFinished)


async def test_another_recording_that_begins_alike_is_another_run(tmp_path: Path) -> None:
    path = write(tmp_path / "Trace_1.json", cats=competition(loop(), loop(code="two")))
    async with opened(tmp_path) as connection:
        await take(connection, path)
        for second in (competition(loop(), loop(code="three")), competition(loop(), loop(code="two"), loop())):
            write(path, cats=second)
            await take(connection, path)
            report, runs = await take(connection, path)
            assert report.competitions[0].state == "known"
        assert len(runs) == 3


async def test_loops_are_placed_by_number_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    loops = {f"loop_{n}": loop(code=f"c{n}", base_code=f"c{n - 1}" if n else "") for n in (0, 10, 11, 1, 2, 9)}
    loops["loop_9"]["base_code"], loops["loop_10"]["base_code"] = "c2", "c9"
    path = write(tmp_path / "Trace_1.json", cats={"scenario": {}, **loops})
    async with opened(tmp_path) as connection:
        _, (run,) = await take(connection, path)
        t = await trajectory(connection, run)
        assert [(a.id, a.parent) for a in t.attempts.values()] == [
            ("loop_0", ""),
            ("loop_1", "loop_0"),
            ("loop_2", "loop_1"),
            ("loop_9", "loop_2"),
            ("loop_10", "loop_9"),
            ("loop_11", "loop_10"),
        ]


async def test_an_imported_run_verifies_and_carries_no_decisions_of_ours(tmp_path: Path) -> None:
    path = look_alike(tmp_path / "Trace_1.json", Shape(1, 12, 40_000), seed=5)
    async with opened(tmp_path) as connection:
        _, (run,) = await take(connection, path)
        started = (await events(connection, run))[0].payload
        assert isinstance(started, RunStarted) and plugins_of(started) == []
        verdict = await Verifier(run, CODEC, [], connection.artifacts.text, connection.artifacts).run(
            connection.log.read(run)
        )
        assert (verdict.ok, verdict.decisions) == (True, 0)
        assert {sealed.body.lane async for sealed in connection.log.read(run)} == {"import"}
        done = [e.payload for e in await events(connection, run) if isinstance(e.payload, ImportCompleted)]
        assert len(done) == 1 and done[0].whole and sum(done[0].rules.values()) == done[0].loops == 12


def test_what_a_file_is_shows_in_its_bytes(tmp_path: Path) -> None:
    traces = write(tmp_path / "anything.txt", cats=competition(loop()))
    assert is_traces(traces)
    assert is_traces(write(tmp_path / "more.json", cats={"noted": ["first"], **competition(loop())}))
    for content in (b"", b"[]", b'{"nodes": [], "step": 3}', b"PK\x03\x04", b'{"a": {"b": 1}}'):
        other = tmp_path / "Trace_1.json"
        other.write_bytes(content)
        assert not is_traces(other)
    with pytest.raises(UsageError, match="cannot read"):
        is_traces(tmp_path / "missing.json")


def test_the_verbs_work_on_an_imported_run(tmp_path: Path) -> None:
    path = write(
        tmp_path / "Trace_1.json", cats=competition(loop(code="one", test_report=REPORT), loop(base_code="one"))
    )
    environment = {"GOME_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}

    def gome(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gome.kernel.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)

    done = gome("import", str(path), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    (run,) = told["runs"]
    assert (told["complete"], told["loops"], told["graded"]) == (True, 2, 1)
    assert "0.77712" in gome("show", run).stdout
    assert len(gome("trajectory", run, "--json").stdout.splitlines()) == 2
    verified = gome("verify", run)
    assert verified.returncode == 0 and re.search(r"\b(no|0) decisions", verified.stdout)
    resumed = gome("run", "--resume", run)
    assert resumed.returncode == 2 and "recorded elsewhere" in resumed.stderr
    path.write_bytes(path.read_bytes()[:-40])
    damaged = gome("import", str(path))
    assert damaged.returncode == 1 and "byte" in damaged.stderr and "Traceback" not in damaged.stderr

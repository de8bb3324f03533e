"""`gome fork` and `gome compare` over recorded runs, on a real embedded server, and what other verbs say of a fork."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from gome.events import RunForked, StepPlanned, SubmissionGraded
from gome.kernel.connect import Connection, Vaults, connect, grades
from gome.kernel.discovery import discover
from gome.kernel.forking import ForkRequest, place, plan, verifier_of
from gome.kernel.index import RunIndex
from gome.kernel.recovery import recover
from gome.kernel.settings import load
from gome.kernel.start import plugins_of
from gome.kernel.state import RunState
from tests.kernel import recorded
from tests.kernel.verbs import Gome, served


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a finished run `done` and an open one `open`."""
    folder = tmp_path_factory.mktemp("forked")
    with served(folder / "site", folder / "home", done="done", unfinished="open"):
        yield folder / "home"


def go(function: Callable[[Connection], Any]) -> Any:
    """Run a coroutine function over a connection of our own."""

    async def work() -> Any:
        async with connect(load()) as connection:
            return await function(connection)

    return anyio.run(work)


def third_step(connection: Connection) -> Any:
    async def find() -> int:
        async for sealed in connection.log.read("done"):
            found = [w.type for w in sealed.body.events]
            if sealed.body.seq > 12 and "StepPlanned" in found:
                return sealed.last
        raise AssertionError("the recorded run plans more than three steps")

    return find()


def test_a_fork_on_recorded_results_is_shown_with_its_origin_everywhere(gome: Gome) -> None:
    at = go(third_step)
    made = gome("fork", "done", "--at", str(at), "--run", "same", "--substitute", "--json")
    assert made.code == 0, made.err
    assert "nothing is changed: the fork goes on as its parent did, on its recorded results" in made.err
    origin = f"fork of done at event {at}, on its recorded results"
    assert made.lines[-1]["origin"] == origin and made.lines[-1]["outcome"] == "done"
    assert origin in gome("show", "same").out
    assert origin in gome("trajectory", "same").out
    verified = gome("verify", "same")
    assert verified.code == 0 and origin in verified.out
    assert gome("verify", "same", "--substitute").code == 0
    row = next(r for r in gome("runs", "--json").lines if r["run"] == "same")
    assert (row["parent"], row["forked_at"], row["state"], row["steps"]) == ("done", at, "done", 6)
    assert f"done at {at}" in gome("runs").out
    said = gome("compare", "done", "same")
    assert said.code == 0 and "same took the same course as done" in said.out
    assert gome("run", "--resume", "same", "--json").lines[-1]["origin"] == origin


def test_a_live_fork_with_another_seed_and_budget_parts_from_its_parent(gome: Gome) -> None:
    at = go(third_step)
    made = gome("fork", "done", "--at", str(at), "--run", "seeded", "--seed", "5", "--steps", "7", "--json")
    assert made.code == 0, made.err
    assert gome("verify", "seeded").code == 0
    said = gome("compare", "done", "seeded")
    assert said.code == 0, said.err
    assert "then part; what they go by differs in seed: 1, 5; budget: 6 steps, 7 steps" in said.out
    rows = gome("compare", "done", "seeded", "--json").lines
    assert [r["run"] for r in rows[:2]] == ["done", "seeded"] and rows[2]["shared"] >= at and not rows[2]["same"]


def test_an_open_run_is_forked_and_goes_on_by_itself(gome: Gome) -> None:
    made = gome("fork", "open", "--run", "on", "--json")
    assert made.code == 0, made.err
    assert made.lines[-1]["outcome"] == "done" and made.lines[-1]["steps"] == 6
    states = {r["run"]: r["state"] for r in gome("runs", "--json").lines}
    assert (states["open"], states["on"]) == ("open", "done")


def test_what_cannot_be_forked_or_compared_is_said_in_one_line(gome: Gome) -> None:
    for arguments, why in (
        (("fork", "nobody"), "there is no run nobody"),
        (("fork", "done", "--at", "4000"), "and --at 4000 is none of them"),
        (("fork", "done", "--run", "open"), "there is a run open already"),
        (("fork", "done", "--set", "nosuch.key=1"), "nosuch: no plugin has settings of this name"),
        (("fork", "done", "--search", "nosuch"), "there is no search called nosuch"),
        (("fork", "done", "--steps", "0"), "0 is not in the range"),
        (("compare", "done"), "name two runs or more"),
        (("compare", "done", "nobody"), "there is no run 'nobody'"),
    ):
        said = gome(*arguments)
        assert said.code == 2 and why in said.err and "Traceback" not in said.err, (arguments, said)


def test_grades_of_the_prefix_are_the_parents_and_no_later_ones(gome: Gome) -> None:
    async def check(connection: Connection) -> None:
        scored: dict[str, int] = {}
        async for sealed in connection.log.read("done"):
            for wire in sealed.body.events:
                if wire.type == "ExecutionFinished":
                    scored[wire.cause] = sealed.last
        (first, _), (later, _) = list(scored.items())[:2]
        for intent, attempt in ((first, "x1"), (later, "x2")):
            await Vaults(connection).of("done", intent).record(SubmissionGraded(attempt, 0.5))
        where = await place(connection.log, "done", scored[first])
        request = ForkRequest(parent="done", changes=load(environ={}), at=where.head.seq)
        planned = await plan(connection.log, request, where, discover(), connection.artifacts.text)
        from gome.kernel.discovery import codec_for
        from gome.kernel.forking import begin

        codec = codec_for(planned.plugins)
        await begin(connection.log, "early", where, planned.forked, codec, connection.artifacts)
        assert set(await grades(connection, "early")) == {"x1"}
        assert {"x1", "x2"} <= set(await grades(connection, "done"))

        # The fork is open: a worker's recovery takes it up with its prefix, and so does the index.
        found = await recover(
            connection,
            lambda run, started: (RunState(run, codec), plugins_of(started)) if run == "early" else None,
        )
        assert found["early"].head.seq == where.head.seq + 1
        assert isinstance(found["early"].trajectory.forks[0], RunForked)
        with RunIndex(connection.home / "other.sqlite", connection.log) as index:
            row = next(r for r in await index.rows() if r.run == "early")
        assert row.origin is not None and (row.origin.parent, row.state) == ("done", "open")
        assert row.events == where.head.seq + 1
        verdict = await (await verifier_of(connection.log, "early", connection.artifacts.text)).run(
            connection.log.read("early")
        )
        assert verdict.ok and not verdict.finished

    go(check)


def test_a_plugin_that_decides_otherwise_today_is_replaced_in_a_fork(gome: Gome) -> None:
    async def check(connection: Connection) -> None:
        where = await place(connection.log, "done", None)

        def loud(state: Any, event: Any, draw: Any) -> Any:
            said = recorded.search.decide(state, event, draw)
            return [msgspec.structs.replace(p, reason="loud") if isinstance(p, StepPlanned) else p for p in said]

        changed = [
            replace(f, plugin=replace(recorded.search, decide=loud)) if f.name == "toy-search" else f
            for f in discover()
        ]
        request = ForkRequest(parent="done", changes=load(environ={}))
        planned = await plan(connection.log, request, where, changed, connection.artifacts.text)
        assert planned.forked.replaced == ("toy-search",)
        assert planned.told[0].startswith("toy-search decides otherwise today than recorded")

    go(check)

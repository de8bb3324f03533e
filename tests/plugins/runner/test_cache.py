"""Executions answered by earlier ones: what must be equal for that, and what never counts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gome.events import (
    Artifact,
    Cost,
    Event,
    ExecutionFinished,
    ExecutionRequested,
    Ledger,
    Limits,
    Metric,
    Task,
    Text,
)
from gome.kernel.artifacts import ArtifactStore
from gome.plugins.runner.sandbox import cache as caching
from gome.plugins.runner.sandbox.cache import Cache, key_of
from gome.plugins.runner.sandbox.settings import Settings

TABLE = Artifact("sha256-" + "1" * 64, 10, "train.csv")
TASK = Task("t", "regression", Metric("rmse", False), "y", "id", (), TABLE, TABLE, 4, 2)
REQUEST = ExecutionRequested("a1", "full", Text.of("pass"), {"train.csv": TABLE}, seed=1, limits=Limits(seconds=10))

COUNTED = """
import os
print("ran as", os.getpid(), flush=True)
open("x", "w").write("y")
"""


def key(
    request: ExecutionRequested = REQUEST, task: Task = TASK, settings: Settings | None = None, **where: Any
) -> str:
    return key_of(request, task, settings or Settings(), **{"device": "cpu", "isolated": True, **where})


def changed(**fields: Any) -> ExecutionRequested:
    return msgspec.structs.replace(REQUEST, **fields)


OTHERS = {
    "program": changed(program=Text.of("pass ")),
    "data": changed(inputs={"train.csv": msgspec.structs.replace(TABLE, digest="sha256-" + "2" * 64)}),
    "name of an input": changed(inputs={"test.csv": TABLE}),
    "more inputs": changed(inputs={"train.csv": TABLE, "members/k/oof.csv": TABLE}),
    "seed": changed(seed=2),
    "partition": changed(partition=1),
    "masked fold": changed(masked_fold=0),
    "debug": changed(purpose="debug"),
    "threads": changed(limits=Limits(seconds=10, cores=2)),
    "GPU": changed(limits=Limits(seconds=10, gpus=1)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_result_depends_on_program_data_seed_and_place(what: str) -> None:
    assert key(OTHERS[what]) != key()


def test_neither_names_nor_limits_make_another_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key(changed(attempt="a2", limits=Limits(seconds=99, memory_mb=1), trusted=True)) == key()
    assert key(settings=Settings(debug_rows=7, seconds=3)) == key()
    debug = changed(purpose="debug")
    assert key(debug, settings=Settings(debug_rows=7)) != key(debug)
    assert key(debug, task=msgspec.structs.replace(TASK, target="z")) != key(debug)
    assert key(device="cuda") != key() and key(isolated=False) != key()
    for name in ("packages", "runner_digest"):
        with monkeypatch.context() as patch:
            before = key()
            patch.setattr(caching, name, lambda: "another")
            assert key() != before


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def result_of(store: ArtifactStore, name: str = "a1", **fields: Any) -> ExecutionFinished:
    data = name.encode()
    file = Artifact(store.put(data), len(data), "oof.csv")
    return ExecutionFinished(
        name, "full", True, **{"outputs": {"oof.csv": file}, "seconds": 4.0, "peak_mb": 90.0, "warm": True, **fields}
    )


def test_what_was_kept_is_found_as_the_answer_to_another_attempt(tmp_path: Path, store: ArtifactStore) -> None:
    cache, result = Cache(tmp_path / "c"), result_of(store)
    assert cache.find("k", REQUEST, REQUEST.limits, store) is None
    cache.keep("k", result)
    found = cache.find("k", changed(attempt="a7"), REQUEST.limits, store)
    assert found == msgspec.structs.replace(result, attempt="a7", cached=True)
    assert (tmp_path / "c").stat().st_mode & 0o077 == 0


def test_failures_and_answers_of_the_cache_itself_are_not_kept(tmp_path: Path, store: ArtifactStore) -> None:
    cache = Cache(tmp_path / "c")
    cache.keep("k", msgspec.structs.replace(result_of(store), ok=False, failure="time"))
    cache.keep("k", result_of(store, cached=True))
    assert cache.find("k", REQUEST, REQUEST.limits, store) is None


@pytest.mark.parametrize("limits", [Limits(seconds=3.9), Limits(memory_mb=80), Limits(disk_mb=0)])
def test_what_took_more_than_is_allowed_now_is_run_again(tmp_path: Path, store: ArtifactStore, limits: Limits) -> None:
    cache = Cache(tmp_path / "c")
    cache.keep("k", result_of(store))
    assert cache.find("k", REQUEST, limits, store) is None
    assert cache.find("k", REQUEST, Limits(), store)


@pytest.mark.parametrize("damage", ["cut", "altered", "foreign", "folder", "older"])
def test_a_damaged_or_foreign_entry_counts_for_nothing(tmp_path: Path, store: ArtifactStore, damage: str) -> None:
    cache = Cache(tmp_path / "c")
    cache.keep("k", result_of(store))
    path = tmp_path / "c" / "k"
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-9])
    elif damage == "altered":
        path.write_bytes(data.replace(b'"seconds":4.0', b'"seconds":1.0'))
    elif damage == "foreign":
        path.rename(tmp_path / "c" / "other")
        assert cache.find("other", REQUEST, REQUEST.limits, store) is None
    elif damage == "older":
        path.write_bytes(b'{"result":1}')
    else:
        path.unlink()
        path.mkdir()
    assert cache.find("k", REQUEST, REQUEST.limits, store) is None


def test_an_entry_whose_files_are_gone_counts_for_nothing(tmp_path: Path, store: ArtifactStore) -> None:
    cache, result = Cache(tmp_path / "c"), result_of(store)
    cache.keep("k", result)
    store.path(result.outputs["oof.csv"].digest).unlink()
    assert cache.find("k", REQUEST, REQUEST.limits, store) is None


def test_the_least_recently_used_entries_go_first(tmp_path: Path, store: ArtifactStore) -> None:
    cache = Cache(tmp_path / "c", most=3)
    for at, name in enumerate(("a", "b", "c")):
        cache.keep(name, result_of(store, name))
        os.utime(tmp_path / "c" / name, (at, at))
    assert cache.find("a", REQUEST, REQUEST.limits, store)
    (tmp_path / "c" / ".litter").write_text("x")
    os.utime(tmp_path / "c" / ".litter", (0, 0))
    cache.keep("d", result_of(store, "d"))
    assert sorted(os.listdir(tmp_path / "c")) == ["a", "c", "d"]
    small = Cache(tmp_path / "c", most_bytes=1)
    small.keep("e", result_of(store, "e"))
    assert os.listdir(tmp_path / "c") == []


@pytest.mark.anyio
async def test_an_equal_execution_is_answered_at_once_and_costs_nothing(bench: Any, outputs: str) -> None:
    bench.settings["cache"] = True
    first = await bench.run(COUNTED + outputs, id="a" * 32)
    again = await bench.run(COUNTED + outputs, id="b" * 32, attempt="a2")
    assert first.ok and not first.cached
    assert again == msgspec.structs.replace(first, attempt="a2", cached=True, startup=0.0)
    ledger = Ledger()
    for payload in (first, again):
        ledger.apply(Event("e", "ExecutionFinished", 1, 0.0, payload, cost=Cost()))
    assert (ledger.executions, ledger.cached, ledger.execution_seconds) == (2, 1, first.seconds)


@pytest.mark.anyio
@pytest.mark.parametrize("purpose", ["seed", "repeat", "rerun", "audit"])
async def test_whoever_measures_how_results_vary_is_never_answered_by_the_cache(
    bench: Any, outputs: str, purpose: str
) -> None:
    bench.settings["cache"] = True
    first = await bench.run(COUNTED + outputs, id="a" * 32)
    again = await bench.run(COUNTED + outputs, id="b" * 32, purpose=purpose)
    assert first.ok and again.ok and not again.cached and len(os.listdir(bench.home / "cache" / "executions")) == 1


@pytest.mark.anyio
async def test_without_the_setting_nothing_is_kept_and_failures_never_are(bench: Any, outputs: str) -> None:
    await bench.run(COUNTED + outputs, id="a" * 32)
    bench.settings["cache"] = True
    await bench.run("raise KeyError(1)", id="b" * 32)
    assert not (bench.home / "cache").exists()

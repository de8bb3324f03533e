"""Journals of AIDE in the shapes that they have, and broken ones: imported whole, named where damaged, never twice."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gome.events import CODEC, LoopImported, PartKept, Trajectory
from gome.kernel.connect import Connection, connect
from gome.kernel.errors import UsageError
from gome.kernel.importing.report import Report
from gome.kernel.importing.sources import check, take_in
from gome.kernel.settings import load

pytestmark = pytest.mark.anyio


def node(id: str, **fields: Any) -> dict[str, Any]:
    """A node as AIDE 0.2 writes it."""
    values: dict[str, Any] = {
        "code": f"print({id!r})",
        "plan": f"Plan of {id}.",
        "step": 0,
        "id": id,
        "ctime": 1.0,
        "parent": None,
        "children": [],
        "_term_out": ["Validation RMSE: 0.5\n", "took 3 seconds"],
        "exec_time": 3.25,
        "exc_type": None,
        "exc_info": None,
        "exc_stack": None,
        "analysis": f"What {id} taught.",
        "metric": {"value": 0.5, "maximize": False},
        "is_buggy": False,
    }
    return {**values, **fields}


def crashed(id: str) -> dict[str, Any]:
    worst = {"value": None, "maximize": None}
    return node(id, exc_type="ValueError", exc_info={"args": ["no column"]}, metric=worst, is_buggy=True)


def write(path: Path, nodes: list[Any], parents: dict[str, str] | None = None, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nodes": nodes, "node2parent": parents or {}, "__version": "2", **more}))
    return path


@pytest.fixture
async def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    monkeypatch.setenv("GOME_HOME", str(tmp_path / "home"))
    async with connect(load(), memory=True) as opened:
        yield opened


async def told(connection: Connection, report: Report) -> tuple[Trajectory, list[LoopImported], list[PartKept]]:
    """The trajectory of the one run that a report names, and what is kept beside it."""
    t, loops, parts = Trajectory(), list[LoopImported](), list[PartKept]()
    async for sealed in connection.log.read(report.competitions[0].run):
        for event in CODEC.commit(sealed, connection.artifacts.text).events:
            t.apply(event)
            loops += [event.payload] if isinstance(event.payload, LoopImported) else []
            parts += [event.payload] if isinstance(event.payload, PartKept) else []
    return t, loops, parts


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ({"value": 0.25, "maximize": False}, 0.25),
        ({"value": 1, "maximize": False}, 1.0),
        ({"value": "0.5", "maximize": None}, 0.5),
        ({"value": None, "maximize": None}, None),
        ({}, None),
        (0.75, 0.75),
        ("tensor(0.125)", 0.125),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        ([1.0], None),
        (True, None),
    ],
)
async def test_a_metric_is_read_in_every_shape(
    connection: Connection, tmp_path: Path, metric: Any, score: float | None
) -> None:
    report = await take_in(connection, write(tmp_path / "journal.json", [node("a", metric=metric)]))
    t, _, _ = await told(connection, report)
    assert report.ok and t.attempts["loop_0"].score == score
    assert t.attempts["loop_0"].accepted is (score is not None)


async def test_a_tree_keeps_its_parents_its_debug_chains_and_its_words(connection: Connection, tmp_path: Path) -> None:
    chain = [crashed("a"), crashed("b"), node("c", metric={"value": 0.6, "maximize": False})]
    good = [node("d", metric=0.5), node("e", metric=0.7), node("f", metric=0.3)]
    parents = {"b": "a", "c": "b", "e": "d", "f": "e"}
    file = write(tmp_path / "logs" / "3-bold-lynx" / "journal.json", [*chain, *good], parents)
    (file.parent / "config.yaml").write_text("goal: 'Predict the price'\neval: RMSE\nexp_name: 3-bold-lynx\n")
    report = await take_in(connection, file.parent)
    t, _, _ = await told(connection, report)
    a = t.attempts
    assert [x.parent for x in a.values()] == ["", "loop_0", "loop_1", "", "loop_3", "loop_4"]
    # The first that runs in its branch, or better than the nearest ancestor that did.
    assert [x.accepted for x in a.values()] == [False, False, True, True, False, True]
    assert a["loop_0"].trace == a["loop_2"].trace != a["loop_5"].trace
    assert a["loop_0"].reason == "ValueError: no column" and a["loop_0"].failure
    assert (a["loop_5"].hypothesis and a["loop_5"].hypothesis.statement) == "Plan of f."
    assert (a["loop_5"].feedback and a["loop_5"].feedback.observations) == "What f taught."
    assert str(a["loop_5"].code and a["loop_5"].code.program) == "print('f')" and a["loop_5"].seconds == 3.25
    assert t.started is not None and t.finished is not None and t.best == "loop_5"
    task = t.started.task
    assert (task.name, task.metric.name, task.description) == ("3-bold-lynx", "RMSE", "Predict the price")


async def test_the_direction_is_what_the_first_node_says_that_knows_it(connection: Connection, tmp_path: Path) -> None:
    nodes = [crashed("a"), node("b", metric={"value": 0.8, "maximize": True}), node("c", metric=0.9)]
    t, _, _ = await told(connection, await take_in(connection, write(tmp_path / "journal.json", nodes, {"c": "b"})))
    assert t.greater_is_better and t.attempts["loop_2"].accepted and t.attempts["loop_2"].gain == pytest.approx(0.1)


async def test_missing_fields_and_foreign_parts_cost_only_themselves(connection: Connection, tmp_path: Path) -> None:
    nodes = [{"id": "a"}, {"code": "print(1)"}, {}, "no node", 7, node("a"), {"code": 5, "plan": None, "id": "z"}]
    file = write(tmp_path / "journal.json", nodes, {"z": "nobody"}, extra={"x": [1]})
    report = await take_in(connection, file)
    t, _, parts = await told(connection, report)
    assert report.ok and len(t.attempts) == 7 and str(t.attempts["loop_1"].code and "x") == "x"
    said = " ".join(report.competitions[0].problems)
    assert "node 3: it is no object" in said and "a is there twice" in said and "nobody is no earlier node" in said
    assert [json.loads(json.loads(str(p.text))["extra"]) for p in parts] == [{"x": [1]}]


async def test_nothing_that_a_node_says_is_lost(connection: Connection, tmp_path: Path) -> None:
    nodes = [node("a", unheard_of={"deep": [1, None, "é"]}, big=10**30), node("b", plan="x" * 50_000)]
    _, loops, _ = await told(connection, await take_in(connection, write(tmp_path / "journal.json", nodes)))
    for loop, whole in zip(loops, nodes, strict=True):
        kept = json.loads(str(loop.fields))["node"]
        assert {**kept, "code": whole["code"]} == whole


async def test_importing_again_adds_nothing_and_a_longer_journal_of_the_same_run_adds_the_rest(
    connection: Connection, tmp_path: Path
) -> None:
    file = write(tmp_path / "journal.json", [node("a"), node("b")])
    whole = file.read_bytes()
    cut = whole[: whole.index(b', {"code": "print(\'b\')"')]
    file.write_bytes(cut)
    first = await take_in(connection, file)
    assert not first.ok and f"at byte {len(cut):,}" in first.damage[0] and first.total("loops") == 1
    file.write_bytes(whole)
    second, third = await take_in(connection, file), await take_in(connection, file)
    assert second.ok and second.competitions[0].run == first.competitions[0].run and second.total("added") == 1
    assert third.competitions[0].state == "known" and third.total("added") == 0
    assert await connection.log.runs() == [first.competitions[0].run]


async def test_wherever_a_journal_breaks_off_the_nodes_before_are_imported(
    connection: Connection, tmp_path: Path
) -> None:
    nodes = [node(name) for name in "abc"]
    whole = write(tmp_path / "journal.json", nodes, {"b": "a"}).read_bytes()
    ends = [whole.index(json.dumps(n).encode()) + len(json.dumps(n)) for n in nodes]
    for at in range(12, len(whole) - 1, 61):
        (tmp_path / "journal.json").write_bytes(whole[:at])
        report = await take_in(connection, tmp_path)
        assert not report.ok and f"at byte {at:,}" in report.damage[0]
        assert report.total("loops") == sum(end <= at for end in ends)


async def test_bytes_that_are_no_json_are_named_and_kept_and_the_other_nodes_imported(
    connection: Connection, tmp_path: Path
) -> None:
    parts = [
        json.dumps(node("a")).encode(),
        b'{"id": "\xff"}',
        b'{"id": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
        b'{"id": 01}',
    ]
    (tmp_path / "journal.json").write_bytes(b'{"nodes": [' + b",".join(parts) + b'], "node2parent": {}}')
    report = await take_in(connection, tmp_path)
    _, loops, _ = await told(connection, report)
    assert not report.ok and len(report.damage) == 3 and "node 1, at byte" in report.damage[0]
    kept = [json.loads(str(loop.fields)).get("node_base64", "") for loop in loops]
    assert [base64.b64decode(k) for k in kept[1:]] == parts[1:]


@pytest.mark.parametrize("text", ["", "[]", "nodes", '{"nodes', '{"competition": 1}', "\x00\x01"])
def test_what_is_no_journal_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    for path in (tmp_path / "x.json", tmp_path / "nowhere", tmp_path):
        with pytest.raises(UsageError, match=r"no file or folder|no recorded run"):
            check(path)

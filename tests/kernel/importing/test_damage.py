"""Damaged files: never an exception, never a loss of what lies before the damage, and the place is named."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gome.events import LoopImported
from gome.kernel.errors import UsageError
from gome.kernel.importing.scan import Damage, members_of, skip_value
from tests.kernel.importing.files import back, canonical, competition, events, loop, opened, take, write
from tests.lookalikes import Shape
from tests.lookalikes import write as look_alike

pytestmark = pytest.mark.anyio


def whole_before(data: bytes, end: int) -> dict[str, list[str]]:
    """Names of the loops, by competition, that end before a place: found by decoding, not by the importer."""
    found: dict[str, list[str]] = {}
    text = data.decode()
    for name, members in json.loads(text).items():
        begin = text.index(f'"{name}": {{')
        for key in members:
            at = text.index(f'"{key}": ', begin) + len(key) + 4
            _, stop = json.JSONDecoder().raw_decode(text, at)
            if key.startswith("loop_") and len(text[:stop].encode()) <= end:
                found.setdefault(name, []).append(key)
    return found


async def attempts(connection: Any, run: str) -> list[str]:
    """The loops that a run has."""
    return [e.payload.attempt for e in await events(connection, run) if isinstance(e.payload, LoopImported)]


async def test_a_file_truncated_anywhere_gives_all_loops_before_that_place(tmp_path: Path) -> None:
    whole = look_alike(tmp_path / "whole.json", Shape(3, 5, 300), seed=11).read_bytes()
    draw = random.Random(4)
    path = tmp_path / "Trace_1.json"
    for place in sorted(draw.sample(range(1, len(whole) - 1), 20)):
        path.write_bytes(whole[:place])
        async with opened(tmp_path / str(place)) as connection:
            report, _ = await take(connection, path)
            assert not report.ok and f"byte {place:,}" in report.damage[-1]
            found = {c.name: await attempts(connection, c.run) for c in report.competitions if c.run}
            assert found == whole_before(whole, place)


async def test_a_flipped_bit_anywhere_loses_nothing_before_it(tmp_path: Path) -> None:
    whole = look_alike(tmp_path / "whole.json", Shape(2, 4, 300), seed=12).read_bytes()
    draw = random.Random(5)
    path = tmp_path / "Trace_1.json"
    for number in range(120):
        data = bytearray(whole)
        place = draw.randrange(len(data))
        data[place] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        async with opened(tmp_path / str(number)) as connection:
            try:
                report, _ = await take(connection, path)
            except UsageError:
                assert place == 0
                continue
            found = {c.name: await attempts(connection, c.run) for c in report.competitions if c.run}
            for name, loops in whole_before(whole, place).items():
                assert set(loops) <= set(found[name]), (place, report.damage)
            try:
                # Control characters in strings are let through.
                json.loads(data.decode(), strict=False)
            except ValueError:
                assert not report.ok
                assert all(re.search(r"byte [\d,]+", d) for d in report.damage)


@settings(max_examples=60)
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 40))
async def test_any_bytes_put_anywhere_end_in_a_report(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    path = write(folder / "Trace_1.json", cats=competition(loop(), loop(code="two")))
    data = path.read_bytes()
    path.write_bytes(data[:place] + junk + data[place + cut :])
    async with opened(folder) as connection:
        report, runs = await take(connection, path)
        for run in runs:
            json.dumps(await attempts(connection, run))
            await back(connection, run)
        assert list(report.lines()) and json.dumps(report.plain())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("base_code", "code", "final_hypothesis", "task", "feedback", "valid_score", "test_report", "sota_hypothesis")


@settings(max_examples=80)
@given(st.dictionaries(st.sampled_from([*FIELDS, "running_time", "parent", "x"]), VALUES), VALUES)
async def test_fields_of_any_type_are_imported_and_come_out_again(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any], scenario: Any
) -> None:
    folder = tmp_path_factory.mktemp("types")
    path = write(folder / "Trace_1.json", cats={"scenario": scenario, "loop_0": loop(**fields), "loop_1": fields})
    async with opened(folder) as connection:
        report, (run,) = await take(connection, path)
        assert await attempts(connection, run) == ["loop_0", "loop_1"]
        assert canonical(await back(connection, run)) == canonical(path.read_bytes())
        assert report.ok


@pytest.mark.parametrize("value", ["nul", "01", "1.2.3", "tru", "'x'", "[1,]", "{1:2}", "--1", '"\\x"', '"\\u12"'])
async def test_a_value_that_is_no_json_costs_only_itself(tmp_path: Path, value: str) -> None:
    path = tmp_path / "Trace_1.json"
    text = json.dumps({"cats": competition(loop(), loop(task="HERE"), loop())}).replace('"HERE"', value)
    path.write_text(text)
    async with opened(tmp_path) as connection:
        report, (run,) = await take(connection, path)
        assert await attempts(connection, run) == ["loop_0", "loop_1", "loop_2"]
        assert not report.ok and "loop_1" in report.damage[0] and "byte" in report.damage[0]
        assert value.encode() in await back(connection, run)


async def test_a_loop_that_is_no_utf8_is_kept_and_the_others_imported(tmp_path: Path) -> None:
    path = tmp_path / "Trace_1.json"
    data = json.dumps({"cats": competition(loop(), loop(code="HERE"), loop())}).encode().replace(b"HERE", b"\xff\xfe")
    path.write_bytes(data)
    async with opened(tmp_path) as connection:
        report, (run,) = await take(connection, path)
        assert await attempts(connection, run) == ["loop_0", "loop_2"]
        assert "loop_1" in report.damage[0] and "UTF-8" in report.damage[0]
        assert b"\xff\xfe" in await back(connection, run)


async def test_repeated_keys_are_reported_and_all_of_them_kept(tmp_path: Path) -> None:
    inner = json.dumps(loop())[:-1] + ', "valid_score": 0.75, "task": 1, "task": 2}'
    text = f'{{"cats": {{"loop_0": {inner}, "loop_0": {json.dumps(loop(code="two"))}}}, "cats": {{"loop_0": {{}}}}}}'
    path = tmp_path / "Trace_1.json"
    path.write_text(text)
    async with opened(tmp_path) as connection:
        report, runs = await take(connection, path)
        assert report.ok and len(runs) == 2 and "more than once" in report.notices[0]
        assert any("'valid_score' is there 2 times" in p for p in report.competitions[0].problems)
        assert report.competitions[0].kept[0][0] == "loop_0"
        found = await back(connection, report.competitions[0].run)
        first = members_of(members_of(found)[0][1])[0][1]
        assert json.loads(first, object_pairs_hook=list) == json.loads(inner, object_pairs_hook=list)


async def test_strings_of_ten_megabytes_and_deep_nesting_are_taken(tmp_path: Path) -> None:
    long = 'x"\\\n' * 2_500_000
    deep = "[" * 200_000 + "]" * 200_000
    text = json.dumps({"cats": competition(loop(code=long, task="HERE"), loop(final_hypothesis=long), loop())})
    path = tmp_path / "Trace_1.json"
    path.write_text(text.replace('"HERE"', deep))
    async with opened(tmp_path) as connection:
        report, (run,) = await take(connection, path)
        assert await attempts(connection, run) == ["loop_0", "loop_1", "loop_2"]
        assert "nested too deeply" in report.damage[0]
        found = await back(connection, run)
        assert deep.encode() in found and json.dumps(long).encode() in found


async def test_a_competition_or_loop_of_another_type_is_named_and_passed_over(tmp_path: Path) -> None:
    told = {"a": 3, "b": [1], "c": "text", "d": {}, "e": {"scenario": {}}, "no name": competition(loop()), "f f": None}
    path = write(tmp_path / "Trace_1.json", **told, cats=competition(loop()))
    async with opened(tmp_path) as connection:
        report, runs = await take(connection, path)
        assert report.ok and len(runs) == 1
        assert [c.name for c in report.competitions if not c.run] == list(told)
        assert all(c.kept[0][2] for c in report.competitions if not c.run)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"[]", b"nonsense", "{}".encode("utf-16")])
async def test_what_is_no_traces_file_at_all_imports_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "Trace_1.json"
    path.write_bytes(content)
    async with opened(tmp_path) as connection:
        if not content:
            with pytest.raises(UsageError, match="empty"):
                await take(connection, path)
            return
        report, runs = await take(connection, path)
        assert not report.ok and not runs and "byte" in report.damage[0]


@given(VALUES)
def test_a_value_ends_where_a_parser_says(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert skip_value(text + b" , 1", 0) == len(text)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=5))
def test_members_are_those_that_a_parser_finds(value: dict[str, Any]) -> None:
    found = members_of(json.dumps(value, indent=1).encode())
    assert [key for key, _ in found] == list(value)
    assert [json.dumps(json.loads(raw)) for _, raw in found] == [json.dumps(v) for v in value.values()]


@given(st.binary(max_size=80))
def test_no_bytes_make_the_scanner_fail_otherwise_than_by_saying_where(data: bytes) -> None:
    try:
        assert all(isinstance(key, str) for key, _ in members_of(data))
    except Damage as damage:
        assert 0 <= damage.offset <= len(data) and damage.why

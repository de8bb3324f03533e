"""Spooled results: durable, in order, one per intent; torn files are ignored and named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gome.kernel.errors import GomeError
from gome.kernel.spool import Pending, Spool


def test_results_come_back_in_the_order_in_which_they_were_put(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for intent in ("c", "a", "b"):
        spool.put("r1", intent, intent.encode() * 3)
    spool.put("r2", "z", b"other run")
    assert spool.pending("r1") == Pending((("c", b"ccc"), ("a", b"aaa"), ("b", b"bbb")))
    assert spool.get("r1", "a") == b"aaa"
    assert spool.runs() == ["r1", "r2"]


def test_a_new_process_continues_the_order(tmp_path: Path) -> None:
    Spool(tmp_path).put("r", "z", b"1")
    Spool(tmp_path).put("r", "a", b"2")
    assert [intent for intent, _ in Spool(tmp_path).pending("r").results] == ["z", "a"]


def test_a_second_result_of_an_intent_replaces_the_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put("r", "a", b"1")
    spool.put("r", "a", b"2")
    assert spool.pending("r").results == (("a", b"2"),)


def test_dropping_leaves_nothing_and_may_be_done_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.runs() == [] and spool.pending("r") == Pending() and spool.get("r", "a") is None
    spool.put("r", "a", b"1")
    spool.drop("r", "a")
    spool.drop("r", "a")
    assert spool.pending("r") == Pending() and spool.runs() == [] and spool.get("r", "a") is None
    spool.put("r", "a", b"again")
    assert spool.get("r", "a") == b"again"


@pytest.mark.parametrize("keep", [0, 1, 20, -1])
def test_a_torn_file_is_ignored_and_named(tmp_path: Path, keep: int) -> None:
    spool = Spool(tmp_path)
    spool.put("r", "a", b"whole")
    spool.put("r", "b", b"to be torn")
    torn = tmp_path / "r" / "b.result"
    torn.write_bytes(torn.read_bytes()[:keep])
    assert spool.pending("r") == Pending((("a", b"whole"),), (torn,))
    assert spool.get("r", "b") is None
    spool.put("r", "b", b"done again")
    assert spool.pending("r").torn == ()


def test_an_altered_file_is_torn(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put("r", "a", b"content")
    file = tmp_path / "r" / "a.result"
    file.write_bytes(file.read_bytes().replace(b"content", b"CONTENT"))
    assert spool.pending("r").torn == (file,)


def test_a_killed_process_leaves_whole_results_only(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gome.kernel.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    spool.put('r', f'i{n:06}', bytes([n % 256]) * 50_000); print(n, flush=True); n += 1\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(20)][-1]
        process.kill()
        rest = process.stdout.read().split()
    pending = Spool(tmp_path).pending("r")
    assert pending.torn == ()
    assert len(pending.results) >= int(rest[-1] if rest else said) + 1
    assert pending.results == tuple((f"i{n:06}", bytes([n % 256]) * 50_000) for n in range(len(pending.results)))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GomeError, match=r"cannot spool the result of intent a to .*: Not a directory"):
        Spool(tmp_path / "file" / "spool").put("r", "a", b"1")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        Spool(tmp_path).put(name, "a", b"1")
    with pytest.raises(ValueError, match="cannot name"):
        Spool(tmp_path).put("r", name, b"1")


names = st.text("abcdef0123456789", min_size=1, max_size=4)
acts = st.lists(st.tuples(st.sampled_from(["put", "drop", "restart"]), names, st.binary(max_size=40)), max_size=12)


@given(acts=acts)
def test_the_spool_is_a_map_that_remembers_the_order_of_puts(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, bytes]]
) -> None:
    root = tmp_path_factory.mktemp("spool")
    spool, model = Spool(root), dict[str, bytes]()
    for act, intent, data in acts:
        if act == "put":
            spool.put("r", intent, data)
            model.pop(intent, None)
            model[intent] = data
        elif act == "drop":
            spool.drop("r", intent)
            model.pop(intent, None)
        else:
            spool = Spool(root)
    assert spool.pending("r") == Pending(tuple(model.items()))

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
    for intent, data in (("z", b"1"), ("a", b"2")):
        spool = Spool(tmp_path)
        spool.put("r", intent, data)
        spool.close()
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


def left(root: Path, run: str, **results: bytes) -> list[Path]:
    """The slots of a process that died with these results in them."""
    spool, slots = Spool(root), list[Path]()
    for intent, data in results.items():
        spool.put(run, intent, data)
        slots += set(root.glob("*.result")) - set(slots)
    spool.close()
    return slots


@pytest.mark.parametrize("keep", [0, 1, 20, -1])
def test_a_torn_file_is_ignored_and_named_once(tmp_path: Path, keep: int) -> None:
    _, torn = left(tmp_path, "r", a=b"whole", b=b"to be torn")
    torn.write_bytes(torn.read_bytes()[:keep])
    spool = Spool(tmp_path)
    assert spool.get("r", "b") is None
    aside = torn.with_suffix(".torn")
    assert spool.pending("r") == Pending((("a", b"whole"),), (aside,))
    assert aside.exists() and spool.pending("r").torn == ()
    spool.put("r", "b", b"done again")
    assert spool.get("r", "b") == b"done again"
    spool.close()


def test_an_altered_file_is_torn(tmp_path: Path) -> None:
    (file,) = left(tmp_path, "r", a=b"content")
    file.write_bytes(file.read_bytes().replace(b"content", b"CONTENT"))
    assert Spool(tmp_path).pending("r").torn == (file.with_suffix(".torn"),)


def test_results_one_after_the_other_are_put_into_the_same_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for i, size in enumerate((100, 20_000, 3, 0)):
        spool.put("r", f"i{i}", bytes([i]) * size)
        assert spool.get("r", f"i{i}") == bytes([i]) * size
        assert len(list(tmp_path.iterdir())) == 1
        spool.drop("r", f"i{i}")
        assert spool.runs() == [] and spool.get("r", f"i{i}") is None
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_keeps_is_read_by_others_and_left_to_it(tmp_path: Path) -> None:
    ours, other = Spool(tmp_path), Spool(tmp_path)
    ours.put("r", "a", b"1")
    assert other.get("r", "a") == b"1" and other.runs() == ["r"]
    other.drop("r", "a")
    assert ours.get("r", "a") == b"1"
    ours.drop("r", "a")
    assert other.runs() == []
    other.put("r", "b", b"2")
    assert ours.get("r", "b") == b"2"
    ours.close()
    other.close()


def test_the_files_of_a_dead_process_are_removed_when_their_results_are_dropped(tmp_path: Path) -> None:
    left(tmp_path, "r", a=b"1", b=b"2")
    spool = Spool(tmp_path)
    spool.drop("r", "a")
    assert spool.pending("r").results == (("b", b"2"),)
    spool.put("r", "b", b"3")
    assert spool.pending("r").results == (("b", b"3"),)
    spool.drop("r", "b")
    spool.close()
    assert list(tmp_path.iterdir()) == []


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
            spool.close()
            spool = Spool(root)
    assert spool.pending("r") == Pending(tuple(model.items()))
    spool.close()

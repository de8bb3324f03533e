"""What is taken of a program's files, and what is refused. Real executions, hostile files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gome.plugins.runner.sandbox.outputs import open_plain, read_diagnostics

pytestmark = pytest.mark.anyio


async def test_files_of_the_contract_become_artifacts(bench: Any, outputs: str) -> None:
    done = await bench.run(
        f"""{outputs}
import json, os
open("scores.csv", "w").write(",rmse\\n0,0.5\\n")
json.dump({{"seconds_per_fold": [1, 2], "gap": float("nan")}}, open("diagnostics.json", "w"))
os.makedirs("members/ab12"); os.makedirs("members/.hidden")
for key in ("ab12", ".hidden"):
    open(f"members/{{key}}/oof.csv", "w").write("x"); open(f"members/{{key}}/submission.csv", "w").write("y")
open("other.bin", "w").write("z")
"""
    )
    assert done.ok
    assert set(done.outputs) == {
        *("oof.csv", "submission.csv", "scores.csv", "diagnostics.json"),
        *("members/ab12/oof.csv", "members/ab12/submission.csv"),
    }
    assert done.diagnostics == {"seconds_per_fold": [1, 2], "gap": None}
    assert bench.store.get(done.outputs["members/ab12/oof.csv"].digest) == b"x"
    assert (done.seed, done.partition, done.purpose, done.attempt) == (7, 2, "full", "a1")
    assert done.versions["numpy"]


@pytest.mark.parametrize(
    ("write", "says"),
    [
        ("os.symlink('/etc/passwd', 'submission.csv')", "submission.csv is a symbolic link"),
        ("os.symlink('input/train.csv', 'submission.csv')", "submission.csv is a symbolic link"),
        ("os.mkfifo('submission.csv')", "submission.csv is no regular file"),
        ("os.mkdir('submission.csv')", "submission.csv is no regular file"),
        ("open('submission.csv', 'w').truncate(63 << 20); os.truncate('oof.csv', 65)", ""),
        ("pass", "submission.csv was not written"),
    ],
)
async def test_only_plain_files_are_taken(bench: Any, outputs: str, write: str, says: str) -> None:
    done = await bench.run(f"{outputs}\nimport os\nos.unlink('submission.csv')\n{write}")
    assert done.ok == (says == "")
    assert done.failure == ("contract" if says else "")
    assert done.error.startswith(says)
    assert ("submission.csv" in done.outputs) == (says == "")


async def test_members_behind_a_symbolic_link_are_left_out(bench: Any, outputs: str) -> None:
    done = await bench.run(
        f"""{outputs}
import os
os.makedirs("real/k"); open("real/k/oof.csv", "w").write("x")
os.makedirs("members"); os.symlink("../real/k", "members/k")
"""
    )
    assert done.ok
    assert set(done.outputs) == {"oof.csv", "submission.csv"}
    assert "members/k/oof.csv is a symbolic link" in str(done.stderr)


@pytest.mark.parametrize("content", ["not json", "[1]", "[" * 200_000, "x" * 300_000])
async def test_diagnostics_that_are_no_small_json_object_are_left_out(bench: Any, outputs: str, content: str) -> None:
    (first, count) = (content[0], len(content)) if len(set(content)) == 1 else (content, 1)
    done = await bench.run(f"{outputs}\nopen('diagnostics.json', 'w').write({first!r} * {count})")
    assert done.ok
    assert done.diagnostics == {}
    assert "diagnostics.json" not in done.outputs
    assert "[gome] diagnostics.json" in str(done.stderr)


async def test_a_working_folder_made_unreadable_is_still_cleared_away(bench: Any, outputs: str) -> None:
    done = await bench.run(f"{outputs}\nimport os\nos.makedirs('a/b')\nos.chmod('a/b', 0)\nos.chmod('a', 0)")
    assert done.ok
    (folder,) = bench.home.glob("work/*")
    assert not (folder / "box").exists()
    assert (folder / "manifest.json").exists()


def test_a_file_larger_than_allowed_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(11))
    with pytest.raises(OSError, match="more than 10"):
        open_plain(tmp_path, "f", 10)


def test_diagnostics_keep_numbers_and_drop_what_is_not_finite() -> None:
    assert read_diagnostics(b'{"a": Infinity, "b": 1.5}') == {"a": None, "b": 1.5}

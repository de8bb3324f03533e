"""What is taken of a program's files, and what is refused. Real executions, hostile files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gome.events.diagnostics import fitting
from gome.plugins.runner.sandbox.contract import read_diagnostics, read_scores
from gome.plugins.runner.sandbox.outputs import open_plain

pytestmark = pytest.mark.anyio


async def test_files_of_the_contract_become_artifacts(bench: Any, outputs: str) -> None:
    done = await bench.run(
        f"""{outputs}
import json, os
open("scores.csv", "w").write(",rmse\\n0,0.5\\nensemble,0.5\\n")
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


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (",RMSE\nbooster,0.4\nensemble,0.5\n", ""),
        ("\ufeffmodel,rmse\r\nensemble,1e-3\r\n", ""),
        (",rmse\nbooster,0.4\n", "the row 'ensemble' is missing"),
        (",auc\nensemble,0.5\n", "its header is ',auc'"),
        (",rmse,mae\nensemble,0.5,1\n", "its header is"),
        (",rmse\nensemble,0.5\nensemble,0.4\n", "'ensemble' is there twice"),
        (",rmse\nensemble,nan\n", "'nan', no finite number"),
        (",rmse\nensemble\n", "has 1 cells"),
        ("", "its header is ''"),
        (",rmse\n" + "".join(f"{i},1\n" for i in range(20_000)), "more than 10000"),
    ],
)
def test_scores_have_one_column_called_like_the_metric_and_a_row_for_the_ensemble(table: str, says: str) -> None:
    if not says:
        assert "ensemble" in read_scores(table.encode(), "rmse")
        return
    with pytest.raises(ValueError, match=says):
        read_scores(table.encode(), "rmse")


def test_bytes_that_are_no_text_are_no_scores() -> None:
    with pytest.raises(ValueError, match="not UTF-8"):
        read_scores(b"\xff\xfe", "rmse")


def test_what_diagnostics_say_is_kept_where_it_has_its_shape() -> None:
    said = {
        "score": 0.5,
        "fold_scores": [0.5, None],
        "train_scores": "all good",
        "members": [{"key": "k", "seconds": [1, 2], "importance": {"x": 1}, "own": {}}],
        "blend": {"weights": [[1, 2]]},
        "debug_share": True,
        "feature_importance": {"anything": ["goes"]},
    }
    kept, remarks = fitting(said)
    assert set(kept) == {"score", "fold_scores", "members", "feature_importance"}
    assert kept["members"] is said["members"]
    assert [remark.partition(":")[0] for remark in remarks] == ["train_scores", "blend", "debug_share"]


async def test_files_that_do_not_have_their_shape_are_left_out_with_a_remark(bench: Any, outputs: str) -> None:
    done = await bench.run(
        f"""{outputs}
open("scores.csv", "w").write(",rmse\\nbest,0.1\\n")
open("diagnostics.json", "w").write('{{"score": "excellent", "gap": 1}}')
"""
    )
    assert done.ok and done.diagnostics == {"gap": 1}
    assert set(done.outputs) == {"oof.csv", "submission.csv", "diagnostics.json"}
    assert "[gome] scores.csv is left out: the row 'ensemble' is missing" in str(done.stderr)
    assert "[gome] diagnostics.json: left out is score: Expected `float | null`" in str(done.stderr)

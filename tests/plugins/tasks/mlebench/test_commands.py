"""`gome mle-bench` and `gome report --mle-bench` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gome.kernel.errors import UsageError
from gome.plugins.tasks import plugin
from gome.plugins.tasks.mlebench.leaderboard import published
from tests.kernel.verbs import caller

Maker = Callable[[str], Path]
TITANIC = "spaceship-titanic"


def run(*words: object) -> Result:
    """Run the verb as the `gome` group would call it; complaints are raised."""
    (verb,) = (command for command in plugin.commands if command.name == "mle-bench")
    return CliRunner().invoke(verb, [str(word) for word in words], catch_exceptions=False)


def test_the_list_says_what_can_be_run_and_graded() -> None:
    lines = {line.split()[0]: line for line in run("list").stdout.splitlines()}
    assert len(lines) == 82 and "run grade  ↑ accuracy" in lines[TITANIC]
    assert "--- grade" in lines["aerial-cactus-identification"]
    assert "--- -----" in lines["vinbigdata-chest-xray-abnormalities-detection"]
    facts = [json.loads(line) for line in run("list", "--split", "low", "--json").stdout.splitlines()]
    assert len(facts) == 22 and sum(not one["not_run"] for one in facts) == 10


def test_a_split_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("AI4Code\nleaf-classification")
    assert len(run("list", "--split", tmp_path / "mine.txt").stdout.splitlines()) == 2
    with pytest.raises(UsageError, match="no split 'every'"):
        run("list", "--split", "every")


def test_show_says_why_a_competition_cannot_be_run_or_graded() -> None:
    text = run("show", "vinbigdata-chest-xray-abnormalities-detection").stdout
    assert "its inputs are image files" in text and "pycocotools" in text and "gold              0.289" in text
    assert json.loads(run("show", TITANIC, "--json").stdout)["not_run"] == ""
    assert "caveat            giver_username_if_known gives" in run("show", "random-acts-of-pizza").stdout


def test_targets_are_what_runs_predict(made: Maker) -> None:
    made("nomad2018-predict-transparent-conductors")
    found = run("targets", "nomad2018-predict-transparent-conductors").stdout
    assert found == "formation_energy_ev_natom\nbandgap_energy_ev\n"
    with pytest.raises(UsageError, match="image files"):
        run("targets", "aerial-cactus-identification")


def test_the_sample_submission_is_a_submission_and_its_report_is_printed(
    made: Maker, data: Path, tmp_path: Path
) -> None:
    made(TITANIC)
    assert "100 rows, PassengerId, Transported" in run("submission", TITANIC, "--out", tmp_path / "s.csv").stdout
    result = run("grade", tmp_path / "s.csv", TITANIC, "--data", data)
    report = json.loads(result.stdout)
    assert (
        report["valid_submission"] and not report["any_medal"] and report["submission_path"] == str(tmp_path / "s.csv")
    )


def test_a_jsonl_gives_a_report_that_aggregate_and_report_read(made: Maker, tmp_path: Path) -> None:
    made(TITANIC)
    run("submission", TITANIC, "--out", tmp_path / "s.csv")
    lines = [{"competition_id": TITANIC, "submission_path": path} for path in (str(tmp_path / "s.csv"), None)]
    (tmp_path / "s.jsonl").write_text("# seeds\n\n// both\n" + "\n".join(map(json.dumps, lines)) + "\n")
    result = run("grade", tmp_path / "s.jsonl", "--out", tmp_path / "reports")
    assert json.loads(result.stdout)["total_valid_submissions"] == 1 and "no score" in result.stderr
    (file,) = (tmp_path / "reports").glob("*_grading_report.json")
    assert [one["submission_exists"] for one in json.loads(file.read_text())["competition_reports"]] == [True, False]
    found = json.loads(run("aggregate", file, "--split", "dev", "--pad-missing").stdout)
    assert found["num_seeds_averaged"] == 2 and found["num_competitions_per_seed"] == 7
    assert found["metrics"]["submission_exists_percentage"]["mean"] == pytest.approx(100 / 14)


def test_thresholds_can_come_from_a_leaderboard(made: Maker, tmp_path: Path) -> None:
    made(TITANIC)
    run("submission", TITANIC, "--out", tmp_path / "s.csv")
    board = tmp_path / "boards" / TITANIC / "leaderboard.csv"
    board.parent.mkdir(parents=True)
    board.write_text("score\n" + "\n".join(str(1 - rank / 100) for rank in range(90)) + "\n")
    words = ("grade", tmp_path / "s.csv", TITANIC, "--leaderboards", tmp_path / "boards")
    report = json.loads(run(*words).stdout)
    assert [report[f"{medal}_threshold"] for medal in ("gold", "silver", "bronze")] == [0.92, 0.83, 0.65]
    board.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UsageError, match="Git-LFS pointer"):
        run(*words)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1: not"),
        ('{"competition_id": "AI4Code"}', "line 1: not"),
        ('{"competition_id": "ai4code", "submission_path": null}', "did you mean AI4Code"),
    ],
)
def test_a_bad_line_is_named(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(line + "\n")
    with pytest.raises(UsageError, match=said):
        run("grade", tmp_path / "s.jsonl", "--out", tmp_path)


def test_a_file_that_cannot_be_read_or_written_is_said_in_a_sentence(made: Maker, tmp_path: Path) -> None:
    made(TITANIC)
    jobs = tmp_path / "runs.jsonl"
    for content, said in ((b"\xff\xfe", "it is not UTF-8"), (b"# nothing\n", "names no submission")):
        jobs.write_bytes(content)
        with pytest.raises(UsageError, match=said):
            run("grade", jobs, "--out", tmp_path / "reports")
    jobs.write_text(json.dumps({"competition_id": TITANIC, "submission_path": None}))
    with pytest.raises(UsageError, match=r"cannot make the folder .*: Not a directory; name another --out"):
        run("grade", jobs, "--out", jobs / "reports")
    with pytest.raises(UsageError, match=r"cannot write .*s\.csv"):
        run("submission", TITANIC, "--out", tmp_path / "nowhere" / "s.csv")


def test_grade_asks_for_what_is_missing(tmp_path: Path) -> None:
    for name in ("s.csv", "s.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="which competition"):
        run("grade", tmp_path / "s.csv")
    with pytest.raises(UsageError, match="needs --out"):
        run("grade", tmp_path / "s.jsonl")


def test_the_leaderboard_is_sorted_and_shows_hours_and_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    said = caller(capsys)("report", "--mle-bench")
    lines = said.out.splitlines()
    assert len(lines) == 31 and lines[1].split()[:2] == ["1", "Disarray"] and "24 vCPU, 220 GB, 1×A100" in lines[1]
    shown = [json.loads(line)["all"] for line in caller(capsys)("report", "--mle-bench", "--json").out.splitlines()]
    assert shown == sorted((row.all for row in published()), key=lambda value: -(value or 0))


def test_our_row_stands_in_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gome.plugins.tasks.mlebench.competitions import split
    from gome.plugins.tasks.mlebench.reports import METRICS

    flags = dict.fromkeys(METRICS.values(), False)
    for seed, medals in enumerate((15, 16)):
        rows = [{"competition_id": one, **flags, "any_medal": n < medals} for n, one in enumerate(split("low"))]
        (tmp_path / f"{seed}.json").write_text(json.dumps({"competition_reports": rows}))
    gome = caller(capsys)
    files = [str(tmp_path / f"{seed}.json") for seed in range(2)]
    lines = gome("report", "--mle-bench", *files, "--hours", "12", "--hardware", "2 vCPU").out.splitlines()
    (ours,) = (line for line in lines if line.startswith(">"))
    assert "70.45 ± 2.27" in ours and "2 vCPU" in ours and "2 seeds" in ours and ours.split()[1:3] == ["12", "gome"]
    place = lines.index(ours)
    assert "74.24" in lines[place - 1] and "68.18" in lines[place + 1]
    missing = gome("report", "--mle-bench", *files, "--by", "all").out.splitlines()
    assert missing[-1].startswith(">") and missing[-1].count("–") == 3
    padded = gome("report", "--mle-bench", *files, "--pad-missing").out
    assert "20.67 ± 0.67‡" in padded
    (tmp_path / "0.json").write_text("{}")
    said = gome("report", "--mle-bench", files[0])
    assert said.code == 2 and "is no grading report" in said.err


def test_help_of_the_verb_loads_nothing_heavy() -> None:
    from tests.architecture.test_startup import HEAVY, modules_after

    assert not modules_after("mle-bench", "list") & set(HEAVY)

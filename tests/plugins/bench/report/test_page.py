"""The page and the pictures: whole, self-contained, and safe from whatever tasks and searches may be called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gome.kernel.errors import UsageError
from gome.plugins.bench.report import look, plots
from gome.plugins.bench.report.build import BenchReport, build
from gome.plugins.bench.report.page import page
from gome.plugins.bench.report.tables import tables
from gome.plugins.bench.table import Row
from tests.plugins.bench.report.invented import bench, row

HOSTILE = '<script>alert("x")</script> $\\frac{1}{0}$ &amp; \'quote\' "]] url(#x) {{ 7 * 7 }}'
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """Checks that every element is closed in order, and gathers ids, references and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.wanted: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.ids += [value or ""] if name == "id" else []
            if name in ("href", "src", "xlink:href", "srcset", "action", "data"):
                assert value and value.startswith("#"), f"{tag} {name}={value}"
                self.wanted.append(value[1:])
            if name in ("aria-labelledby",):
                self.wanted += (value or "").split()
            assert not name.startswith("on"), name
            self.wanted += re.findall(r"url\(#([^)]*)\)", value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def hostile() -> BenchReport:
    searches, tasks = ("gradient", HOSTILE, "random"), ("ames", HOSTILE)
    return build(bench(searches=searches, tasks=tasks, strengths=(0.2, 1.0), seeds=(0,), fail=0.1))


@pytest.fixture(scope="module")
def text(hostile: BenchReport) -> str:
    pytest.importorskip("matplotlib")
    return page(hostile)


def test_the_page_is_well_formed_and_needs_nothing_from_outside(text: str) -> None:
    reader = read(text)
    assert len(reader.ids) == len(set(reader.ids)), "ids are not unique"
    assert set(reader.wanted) <= set(reader.ids)
    assert not reader.tags & {"script", "link", "iframe", "object", "embed", "img", "image", "base", "form"}
    assert not re.search(r"https?:|//[a-z]|@import|data:|javascript:", text)
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == len(plots.PICTURES)
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img" and [c.tag for c in root[:2]] == ["title", "desc"]
        assert not re.search(r"#0[0-9a]0[0-9a]0[0-9a]\b", picture), "a colour of no theme is left"


def test_hostile_names_stay_text(text: str) -> None:
    assert HOSTILE not in text and "<script" not in text
    said = "".join(read(text).text)
    assert said.count(HOSTILE) > 20 and "49" not in re.findall(r"\{\{.{0,9}", said)


def test_every_table_names_playbook_commit_and_tasks(hostile: BenchReport) -> None:
    found = list(tables(hostile.parts[0]))
    assert len(found) >= 10
    for table in found:
        assert "playbook ffffffffff; commit abc1234; tasks " in table.rests and "ames 616d657300" in table.rests
        assert all(len(line) == len(table.columns) for line in (*table.rows, *table.detail)), table.name


def test_development_and_held_out_tasks_never_share_a_mean() -> None:
    report = build([row(split="dev", hidden=0.5), row(task="flights", split="held-out", hidden=0.1)])
    assert [p.name for p in report.parts] == ["dev", "held-out"]
    assert [p.standings[0].share.mean for p in report.parts] == [0.5, 0.9]
    assert [(h.playbook, h.runs, h.tasks) for h in report.held_out] == [("f" * 64, 1, ("flights",))]
    assert [list(p.about.tasks) for p in report.parts] == [["ames"], ["flights"]]


def test_failures_and_holes_are_listed_and_said() -> None:
    rows = [
        row(),
        row(seed=1),
        row("aide"),
        row("aide", "leaf", hidden=None, outcome="lost"),
        row("aide", seed=2, outcome="stopped"),
    ]
    (part,) = build(rows, unfinished=["ames aide seed 9"]).parts
    assert [(f.task, f.outcome, f.handed_in) for f in part.failures] == [
        ("ames", "stopped", True),
        ("leaf", "lost", False),
    ]
    assert {(m.arm, m.task, m.seed) for m in part.missing} == {
        ("aide", "ames", 1),
        ("gradient", "ames", 2),
        ("gradient", "leaf", 0),
    }
    said = " ".join(part.findings)
    assert "1 runs handed in nothing" in said and "3 cells are missing" in said


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(hidden=1.1, reference=1.2)], "On a split of ames nobody beat the default LightGBM"),
        ([row(baseline=None)], "No default LightGBM is known on a split of ames"),
        ([row(baseline=None), row("aide", hidden=None, baseline=None)], "1 of them are where there is no scale"),
        ([row(), row("aide")], "gradient is level with aide: 0 won, 1 tied, 0 lost of 1 blocks."),
        ([row(hidden_se=2.0)], "within one standard error of the default LightGBM"),
        ([row(seconds=10.0), row("aide", seconds=30.0)], "the most lavish against the thriftiest: seconds 3.0×"),
        ([row(hidden=0.6), row("aide")], "gradient is behind aide by 0.100 of the way, which one block alone shows"),
    ],
)
def test_doubts_are_said_in_words(rows: list[Row], said: str) -> None:
    assert said in " ".join(build(rows).parts[0].findings)


def test_mixed_code_is_warned_of() -> None:
    report = build([row(), row(seed=1, playbook="e" * 64, task_digest="other")])
    assert report.about.warnings == ("2 playbooks are mixed here", "a split of task ames comes in several versions")
    assert build([row(), row(split_seed=9, task_digest="other")]).about.warnings == ()
    assert "2 playbooks are mixed here" in page(report)


def test_without_matplotlib_the_page_has_its_tables_and_says_what_is_missing(
    hostile: BenchReport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(look, "find_spec", lambda name: None)
    text = page(hostile)
    assert "gome[plot]" in text and "<svg" not in text and read(text).tags >= {"table", "th"}
    with pytest.raises(UsageError, match=r'pip install "gome\[plot\]"'):
        look.check(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf"])
def test_a_picture_is_written_with_the_same_bytes_each_time(hostile: BenchReport, tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        assert plots.draw(hostile, tmp_path / folder / name) == "The crossover"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "one" / name).stat().st_size > 8_000


def test_what_cannot_be_drawn_is_said(hostile: BenchReport, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UsageError, match="no held-out tasks"):
        plots.draw(hostile, tmp_path / "a.png", part="held-out")
    with pytest.raises(UsageError, match="one search only"):
        plots.draw(build([row()]), tmp_path / "a.png", "crossover")
    with pytest.raises(UsageError, match="no kind of picture"):
        look.check(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="no folder"):
        look.check(tmp_path / "there" / "a.png")


def test_a_bench_of_one_run_has_a_page_and_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    from gome.plugins.bench.report.text import show

    report = build([row()])
    read(page(report))
    show(report)
    assert "gradient came 0.50 of the way" in capsys.readouterr().out


@pytest.mark.parametrize(("greater", "hidden", "better"), [(False, 0.4, 1), (True, 0.4, 0), (True, 0.50000001, 0)])
def test_an_arm_that_stands_alone_is_held_beside_reference_scores(greater: bool, hidden: float, better: int) -> None:
    rows = [row(hidden=hidden, reference=0.5, greater_is_better=greater), row(task="leaf", reference=None)]
    (part,) = build(rows).parts
    said = (
        f"gradient handed in better than the best reference score (default LightGBM or an AutoML library) in {better}"
    )
    assert f"{said} of 1 runs that have one." in part.findings
    (part,) = build([row(reference=None)]).parts
    assert not any("reference score" in sentence for sentence in part.findings)

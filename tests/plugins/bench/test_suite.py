"""Suite files: what they may say, and how they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.events import Budget
from gome.kernel.errors import GomeError, UsageError
from gome.kernel.settings import load
from gome.plugins import bench
from gome.plugins.bench.planning import plan
from gome.plugins.bench.suite import Suite, read_suite, shipped, suite_of
from gome.plugins.bench.table import read_table
from gome.plugins.tasks.suite import SUITE
from gome.plugins.tasks.suite.references import load as load_references

BENCH = Path(bench.__file__).parent

GOOD = """
tasks = ["ames", {spec = "houses.csv", target = "price"}]
searches = ["gradient", {name = "greedy", search = "aide", settings = {aide = {drafts = 3}}}]
models = ["small", {name = "big", model = "vendor/big", tier = "frontier"}]
seeds = 3
[budget]
currency = "seconds"
amount = "1h30m"
limits = {money = 2, steps = 50}
[factors.guard]
key = "guard.enabled"
levels = [true, false]
[factors.noise]
low = {playbook = {strength = 0.9}}
high = {playbook = {strength = 0.1}}
"""


def test_names_and_tables_come_to_the_same_and_durations_have_units() -> None:
    suite = suite_of(GOOD, "mine.toml")
    assert suite.name == "mine" and suite.seeds == (0, 1, 2)
    assert [t.spec for t, _ in suite.all_tasks()] == ["ames", "houses.csv"]
    assert [s.name for s in suite.searches] == ["gradient", "greedy"]
    assert suite.run_budget() == Budget(seconds=5400.0, money=2.0, steps=50)
    levels = suite.factor_levels()
    assert levels["guard"] == {"on": {"guard": {"enabled": True}}, "off": {"guard": {"enabled": False}}}
    assert levels["noise"]["high"] == {"playbook": {"strength": 0.1}}


def test_files_that_tasks_name_are_found_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "houses.csv").write_text("a,price\n")
    (tmp_path / "mine.toml").write_text(GOOD)
    suite = read_suite(str(tmp_path / "mine.toml"))
    assert suite.tasks[1].spec == str((tmp_path / "houses.csv").resolve())
    assert suite.tasks[0].spec == "ames", "a name stays a name"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("seeds = 3", "seedz = 3"),
            r"mine\.toml:\d+: suite\.seedz: there is no such setting; did you mean suite\.seeds\?",
        ),
        (('target = "price"', 'targte = "price"'), r"tasks\[1\]\.targte: .*did you mean tasks\.target\?"),
        (("amount", "amont"), r"suite\.budget\.amont: .*did you mean suite\.budget\.amount\?"),
        (("money = 2", "mony = 2"), r"budget\.limits\.mony: .*did you mean budget\.limits\.money\?"),
        (('"seconds"', '"secnds"'), r"budget\.currency\.secnds: that is no currency of .*; did you mean seconds"),
        (('"1h30m"', "0"), r"mine\.toml: budget\.amount: a number above 0"),
        (('"1h30m"', "inf"), r"budget\.amount: a number above 0 is wanted, not inf"),
        (('"1h30m"', '"soon"'), r"mine\.toml: budget\.amount: 'soon' is not a duration"),
        (("steps = 50", 'steps = "3m"'), r"budget\.limits\.steps: a number above 0 is wanted, not '3m'"),
        (("steps = 50", "steps = 2.5"), r"budget\.limits\.steps: a whole number of steps is wanted, not 2\.5"),
        (("seeds = 3", "seeds = [0, 0]"), r"seeds: 0 stands there twice"),
        (("levels = [true, false]", "levels = []"), r"factors\.guard: write key and levels"),
        (("levels = [true, false]", "levels = [true, true]"), r"factors\.guard: a level stands there twice"),
        (('key = "guard.enabled"', "key = 3"), r"factors\.guard: write key and levels"),
        (("seeds = 3", 'statistic = "share"'), r"suite of the recorded world: gome bench world mine\.toml"),
        (("steps = 50", "steps = -1"), r"budget\.limits\.steps: a number above 0"),
        (("money = 2", "seconds = 2"), r"whose limit is the amount"),
        (("seeds = 3", "seeds = [1, 2, 1]"), r"seeds: 1 stands there twice"),
        (('"ames"', '{spec = "houses.csv", target = "price"}'), r"a task: houses\.csv stands there twice"),
        (("seeds = 3", "seeds = []"), r"seeds: an empty list leaves no cells"),
        (("seeds = 3", 'seeds = 3\ndev = ["ames"]'), r"either tasks, or dev and held_out"),
        (("levels = [true, false]", ""), r"factors\.guard: write key and levels"),
        (
            ('["gradient", {name = "greedy"', '[{name = ""'),
            r"suite\.searches\[0\]\.name: expected `str` of length >= 1",
        ),
        (
            ("[factors.guard]", '[settings]\nsearch = "aide"\n[factors.guard]'),
            r"settings: the search stands in searches",
        ),
        (("[factors.guard]", "[settings]\ncapacity = 2\n[factors.guard]"), r"capacity is the same .* top of the suite"),
        (
            ('key = "guard.enabled"\nlevels = [true, false]', 'key = "search"\nlevels = ["aide"]'),
            r"factors\.guard: the se",
        ),
        (('"guard.enabled"\nlevels = [true, false]', '"home"\nlevels = ["a"]'), r"home is .* belongs into gome\.toml"),
        (("settings = {aide = {drafts = 3}}", "settings = {nats = 'x'}"), r"settings of greedy: nats is the same"),
        (("seeds = 3", "seeds = 0"), r"mine\.toml: seeds: 0 is no number of seeds: 1 to 1000, or a list"),
        (("seeds = 3", "seeds = 1000000000000"), r"seeds: 1000000000000 is no number of seeds"),
        (("seeds = 3", "seeds = [-1]"), r"mine\.toml: seeds: seed -1 is out of range: .* 0 to 9007199254740992"),
        (("seeds = 3", "split_seeds = [0, -1]"), r"split_seeds: split seed -1 is out of range: .* 0 to 4294967295"),
        (("seeds = 3", f"split_seeds = [{2**70}]"), rf"split_seeds: split seed {2**70} is out of range"),
        (("[budget]", "[budget"), r"mine\.toml:\d+:"),
    ],
)
def test_what_a_suite_cannot_say_is_refused_with_the_place_and_what_is_near(change: tuple[str, str], said: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(UsageError, match=said):
        suite_of(GOOD.replace(change[0], change[1], 1), "mine.toml")


def test_a_suite_without_searches_is_not_told_of_a_default_that_there_is_not() -> None:
    with pytest.raises(UsageError, match=r"searches: an empty list leaves no cells; name one$"):
        suite_of('tasks = ["ames"]\nsearches = []\n[budget]\ncurrency = "steps"\namount = 3\n', "mine.toml")


@pytest.mark.parametrize(
    ("lines", "sets", "said"),
    [
        (
            'profiles = ["aide-released"]',
            [],
            "gradient aide-released: profile aide-released .* made for the search aide",
        ),
        ('models = ["m"]', [], "models are named, and nobody asks one"),
        ("", ["search=random"], "--set search puts random in the place of gradient"),
        ('reasoners = ["playbook"]', ["reasoner=gome"], "--set reasoner puts gome in the place of playbook"),
        ('profiles = ["robust"]', ["profile=no-memory"], "--set profile puts no-memory in the place of robust"),
        ('models = ["m"]', ["completion.model=n"], "--set completion.model puts n in the place of m"),
        ("", ["fallback=nobody"], "there is no reasoner called nobody"),
    ],
)
def test_cells_that_would_not_be_what_they_are_called_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, sets: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f'tasks = ["ames"]\nsearches = ["gradient", "aide"]\n{lines}\n[budget]\ncurrency = "steps"\namount = 3\n'
    with pytest.raises(GomeError, match=f"suite mine.*{said}"):
        plan(suite_of(text, "mine.toml"), load(), sets)


def test_a_search_may_have_a_profile_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = 'tasks = ["ames"]\nsearches = ["gradient", {name = "old", search = "aide", profile = "aide-released"}]\n'
    planned = plan(suite_of(f'{text}[budget]\ncurrency = "steps"\namount = 3\n', "mine.toml"), load())
    assert [(t.search, t.profile) for t in planned.treatments] == [("gradient", ""), ("old", "aide-released")]


def test_a_suite_without_tasks_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to work on"):
        suite_of('searches = ["a"]\n[budget]\ncurrency = "steps"\namount = 3\n', "mine.toml")


def test_an_empty_file_is_refused_by_its_name() -> None:
    with pytest.raises(UsageError, match=r"^mine\.toml: suite: object missing required field `searches`"):
        suite_of("", "mine.toml")


def test_a_suite_that_is_played_is_not_run_and_how_it_is_played_is_said() -> None:
    with pytest.raises(UsageError, match="crossover is played in the recorded world: gome bench crossover"):
        read_suite("crossover")


def test_a_name_that_does_not_ship_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean smoke"):
        read_suite("smok")


@pytest.mark.parametrize("name", shipped())
def test_every_suite_that_ships_is_one(name: str) -> None:
    suite = read_suite(name)
    assert isinstance(suite, Suite) and suite.name == name and suite.about


def test_suites_that_compare_say_what_they_expect() -> None:
    assert all(read_suite(name).hypothesis for name in ("real", "ablation", "scaling", "automl"))


def test_the_suite_beside_an_automl_library_gives_what_that_had() -> None:
    suite, measured = read_suite("automl"), load_references()
    budgets = {entry.flaml.budget for entry in measured.tasks.values() if entry.flaml}
    assert (suite.budget.currency, {suite.budget.amount}) == ("execution_seconds", budgets)
    assert suite.settings["sandbox"] == {"cores": measured.about.threads, "cache": False} and suite.capacity == 1
    assert {task.spec for task in (*suite.dev, *suite.held_out)} == set(measured.tasks) == set(SUITE)
    assert {t.spec for t in suite.dev} == {name for name, facts in SUITE.items() if facts.part == "dev"}


def test_the_table_beside_an_automl_library_is_that_of_its_rows() -> None:
    """Every figure of the README's table, and how often gome is better, from the rows and the references that ship."""
    page = (BENCH / "README.md").read_text().partition("## Against AutoML")[2].partition("## Held-out runs")[0]
    lines = {cells[1].split()[0]: cells[3:8] for line in page.splitlines() if len(cells := line.split("|")) == 9}
    better = 0
    for row in read_table(BENCH / "suites" / "run" / "automl.jsonl"):
        entry = load_references().tasks[row.task]
        assert entry.flaml is not None and row.hidden is not None and row.hidden_se is not None
        default, other = entry.lightgbm.scores[0], entry.flaml.scores[0]
        for said, meant in zip(lines[row.task], (default, other, row.hidden, row.hidden_se), strict=False):
            assert float(said) == pytest.approx(meant, rel=1e-3, abs=6e-5), row.task
        won = row.hidden > other if row.greater_is_better else row.hidden < other
        assert lines[row.task][4].strip() == ("gome" if won else "FLAML"), row.task
        better += won
    assert len(lines) == 2 + 16 and f"holds: {better} of 16." in page

"""`gome whatif`, against a real embedded server and an archive: what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.kernel.cli.whatif import _print
from tests.kernel.verbs import Gome


def test_a_search_on_its_own_run_would_have_picked_the_same_everywhere(gome: Gome) -> None:
    said = gome("whatif", "toy-done", "--search", "toy-search")
    assert said.code == 0 and said.out.splitlines()[0].split() == [
        *("event", "attempt", "planned", "toy-search", "same", "why")
    ]
    *rows, sum = gome("whatif", "toy-done", "--search", "toy-search", "--json").lines
    assert sum["summary"] == {"run": "toy-done", "search": "toy-search", "points": len(rows), "same": len(rows)}
    assert all(row["same"] and row["would"] == row["planned"] for row in rows)
    assert f"would have picked the same at {len(rows)} of {len(rows)} points" in said.out


def test_an_archive_is_asked_like_a_run(gome: Gome, tmp_path: Path) -> None:
    file = tmp_path / "toy.gome"
    assert gome("export", "toy-done", str(file)).code == 0
    there, here = (gome("whatif", run, "--search", "toy-search", "--json") for run in ("toy-done", str(file)))
    assert here.code == 0 and here.lines == there.lines


def test_another_search_with_settings_of_its_own_is_asked_at_an_event(gome: Gome) -> None:
    arguments = ("--search", "aide", "--set", "aide.num_drafts=2", "--at", "3")
    said = gome("whatif", "toy-done", *arguments)
    # Event 3 is within a commit. Toy runs never profile their data, and tree searches wait for that.
    assert said.code == 0 and "toy-done at event 1" in said.out and "aide would plan nothing here" in said.out
    (line,) = gome("whatif", "toy-done", *arguments, "--json").lines
    assert (line["event"], line["would"], line["search"]) == (1, [], "aide") and "same" not in line
    assert gome("whatif", "toy-done", "--profile", "aide-released", "--json").lines[-1]["summary"]["search"] == "aide"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("toy-done",), "name a search with --search, or a profile that names one; installed: aide"),
        (("toy-done", "--search", "aid"), "there is no search called aid; installed: aide"),
        (("nobody", "--search", "aide"), "there is no run 'nobody'"),
        (("toy-done", "--search", "aide", "--at", "0"), "--at"),
        (("toy-done", "--search", "aide", "--at", "9999"), "has no event 9999"),
        (("toy-done", "--search", "toy-search", "--at", "3"), "does not read RunForked"),
        (("toy-done", "--search", "aide", "--set", "guard.enabled=false"), "only settings of aide mean anything here"),
        (("toy-done", "--search", "aide", "--set", "aide.draft=1"), "did you mean aide.drafting"),
        (("toy-done", "--search", "aide", "--profile", "aide-release"), "did you mean aide-released"),
        (("toy-done", "--search", "aide", "--profile", "no-memory"), "says nothing to the search aide"),
        (("toy-done", "--search", "mlmaster", "--profile", "aide-released"), "is made for the search aide, and"),
        (("toy-done", "--search", "aide", "--set", "aide.variant=other"), "one of released, repaired"),
    ],
)
def test_what_means_nothing_is_refused_with_a_way_out(gome: Gome, arguments: tuple[str, ...], said: str) -> None:
    ended = gome("whatif", *arguments)
    assert ended.code == 2 or "called aid" in said
    assert said in ended.err and "Traceback" not in ended.err


def test_a_run_without_a_planned_step_is_said_to_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    _print("young", "aide", [], None)
    assert (
        "nobody has planned a step in young, so there is nothing that aide could have picked" in capsys.readouterr().out
    )

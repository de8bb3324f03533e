"""`gome replay` and `gome verify --all`, against a real embedded server: what they print, and how they end."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from gome.events import AttemptAccepted, Draw, Event, Payload
from tests.kernel import recorded
from tests.kernel.verbs import Gome


def test_a_run_as_it_stood_at_its_end_is_what_show_says(gome: Gome) -> None:
    replayed, shown = gome("replay", "toy-done", "--json").lines, gome("show", "toy-done", "--json").lines
    assert replayed[1:] == shown[1:] and replayed[0]["summary"] == shown[0]["summary"]
    assert replayed[0]["position"] == replayed[0]["head"] and replayed[0]["in_flight"] == []
    said = gome("replay", "toy-done")
    assert said.code == 0 and said.out.startswith("toy-done at event ") and "in flight: nothing" in said.out


def test_a_run_as_it_stood_at_an_event_shows_best_budget_and_what_is_in_flight(gome: Gome) -> None:
    head = gome("replay", "toy-done", "--json").lines[0]["head"]
    best = []
    for position in range(1, head):
        first, *rows = gome("replay", "toy-done", "--until", str(position), "--json").lines
        assert first["position"] <= position and first["head"] == head and first["summary"]["outcome"] == "open"
        assert all(row["hidden"] is None for row in rows) and first["summary"]["hidden"] is None
        assert first["spent"]["steps"] == [len(rows), 6] if rows else "steps" in first["spent"]
        best.append(first["summary"]["score"])
        if first["in_flight"]:
            said = gome("replay", "toy-done", "--until", str(position)).out
            assert f"in flight: {first['in_flight'][0]['intent']}" in said and "steps" in said
    scores = [score for score in best if score is not None]
    assert scores[0] == 1.0 and min(scores) < 0.8


def test_a_run_as_it_stood_at_a_time_is_the_last_commit_before_it(gome: Gome) -> None:
    end = gome("replay", "toy-done", "--json").lines[0]
    middle = gome("replay", "toy-done", "--until", str(end["position"] // 2), "--json").lines[0]
    early = gome("replay", "toy-done", "--at", f"{middle['active']:f}s", "--json").lines[0]
    assert 0 < early["active"] == middle["active"] < end["active"]
    assert middle["position"] <= early["position"] < end["position"]
    assert gome("replay", "toy-done", "--at", "2h", "--json").lines[0] == end


def test_a_run_happens_again_as_progress_showed_it(gome: Gome) -> None:
    said = gome("replay", "toy-done", "--speed", "0")
    lines = said.err.splitlines()
    assert said.code == 0 and "toy: regression" in lines[0] and any("accepted a1" in line for line in lines)
    assert "finished: done" in lines[-2] and "gome replay toy-done --until" in lines[-1]
    told = gome("replay", "toy-done", "--speed", "0", "--json").lines
    assert told[-1]["event"] == "RunFinished" and [t["seq"] for t in told] == sorted(t["seq"] for t in told)
    cut = gome("replay", "toy-done", "--speed", "0", "--until", str(told[2]["seq"]), "--json").lines
    assert cut == told[:3]


def test_the_waits_between_commits_are_the_recorded_ones_by_the_speed(
    gome: Gome, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("anyio.sleep", sleep)
    active = gome("replay", "toy-done", "--json").lines[0]["active"]
    assert gome("replay", "toy-done", "--speed", "4").code == 0
    assert sum(waits) == pytest.approx(active / 4) and all(wait > 0 for wait in waits)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("toy-done", "--until", "0"), "--until"),
        (("toy-done", "--until", "3", "--at", "3s"), "both say where to stop"),
        (("toy-done", "--at", "soon"), "not a duration"),
        (("toy-done", "--speed", "-1"), "--speed"),
        (("toy-don",), "did you mean toy-done"),
        (("toy-don", "--speed", "0"), "did you mean toy-done"),
    ],
)
def test_what_cannot_be_replayed_is_wrong_usage(gome: Gome, arguments: tuple[str, ...], said: str) -> None:
    ended = gome("replay", *arguments)
    assert ended.code == 2 and said in ended.err and ended.out == ""


def test_every_run_is_verified_with_a_line_each_and_a_sum(gome: Gome) -> None:
    said = gome("verify", "--all")
    assert said.code == 0, said.err
    done, open_ = said.out.splitlines()
    assert done.startswith("toy-done  verified: ") and done.endswith("finished")
    assert open_.startswith("toy-open  verified: ") and "; open" in open_
    assert "2 of 2 runs verified" in said.err and "1 still open" in said.err
    first, second, last = gome("verify", "--all", "--json").lines
    assert first["run"] == "toy-done" and second["run"] == "toy-open" and first["verified"]
    assert last["summary"]["verified"] == 2 and last["summary"]["open"] == 1


def test_one_run_that_decides_otherwise_ends_all_with_4(gome: Gome, monkeypatch: pytest.MonkeyPatch) -> None:
    original = recorded.judge

    def kinder(state: Any, event: Event, draw: Draw) -> list[Payload]:
        said = original.decide(state, event, draw)
        late = [p for p in said if isinstance(p, AttemptAccepted) and p.attempt == "a6"]
        return [msgspec.structs.replace(p, gain=0.2) if p in late else p for p in said]

    monkeypatch.setattr(recorded, "judge", dataclasses.replace(original, decide=kinder))
    said = gome("verify", "--all")
    done, open_ = said.out.splitlines()
    assert said.code == 4 and done.startswith("toy-done  diverged: run toy-done, event ")
    assert open_.startswith("toy-open  verified") and "1 diverged" in said.err


@pytest.mark.parametrize("arguments", [(), ("--all", "toy-done"), ("--all", "--substitute"), ("--all", "none.gome")])
def test_verify_without_a_meaning_is_wrong_usage(gome: Gome, arguments: tuple[str, ...]) -> None:
    said = gome("verify", *arguments)
    assert said.code == 2 and said.err.count("\n") == 1, said.err

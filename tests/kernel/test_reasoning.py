"""What authors of reasoners may get wrong: each mistake is one clear error, and never a record that cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gome.events import Hypothesis
from gome.kernel.completing import schema_of
from gome.kernel.discovery import choose, discover
from gome.kernel.errors import PluginError, UnknownRun, UsageError
from gome.kernel.reasoning import ReasonContext, _ask, proposed, reflected
from gome.kernel.rehearsal import context_at, recorded
from tests import distribution
from tests.architecture.tree import ROOT

RUN = str(ROOT / "tests" / "recorded" / "ames-0.1.0" / "run.jsonl")

MODULE = '''
"""What a stranger has written."""
class Fine:
    """Proposes nothing at all.

    And more of it."""
    def propose(self, context): return None
    def reflect(self, context): return None
class Plain(Fine):
    pass
class Silent:
    def propose(self, context): return None
class Narrow(Fine):
    def propose(self): return None
class Typo(Fine):
    needs = ("completions",)
class Text(Fine):
    needs = "completion"
class Other:
    pass
'''

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a module of a stranger's with these entry points of one group: classes in it by name."""

    def put(group: str, **classes: str) -> None:
        (tmp_path / "strangers.py").write_text(MODULE)
        points = {group: {name: f"strangers:{found}" for name, found in classes.items()}}
        distribution.install(tmp_path, "strangers", points)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "strangers", raising=False)

    return put


@pytest.mark.parametrize(
    ("group", "name", "why"),
    [
        ("gome.reasoners", "Silent", "it has no reflect"),
        ("gome.reasoners", "Narrow", "its propose does not take one argument, the context"),
        ("gome.reasoners", "Typo", "what can be needed is"),
        ("gome.reasoners", "Text", "its needs are 'completion'"),
        ("gome.reasoners", "Other", "neither a Plugin nor has propose and reflect"),
        ("gome.reasoner", "Fine", "there is no group gome.reasoner; did you mean gome.reasoners"),
        ("gome.plugins", "Fine", "a reasoner belongs into gome.reasoners"),
    ],
)
def test_what_is_wrong_with_a_reasoner_is_said_when_it_is_named(
    install: Install, group: str, name: str, why: str
) -> None:
    install(group, mine=name)
    (found,) = [f for f in discover() if f.name == "mine"]
    assert found.plugin is None and why in found.error
    if found.role == "reasoner":
        with pytest.raises(PluginError, match="does not load"):
            choose(discover(), {"reasoner": "mine"})


def test_a_reasoners_line_is_the_first_of_its_docstring_or_its_modules(install: Install) -> None:
    install("gome.reasoners", fine="Fine", plain="Plain")
    told = {f.name: f.plugin.summary for f in discover() if f.plugin and f.distribution == "strangers"}
    assert told == {"fine": "Proposes nothing at all.", "plain": "What a stranger has written."}


@pytest.mark.parametrize(("answer", "kind"), [({"statement": "x"}, "a dict"), ("boost", "a str")])
def test_a_proposal_of_another_type_is_refused_with_what_would_do(answer: Any, kind: str) -> None:
    with pytest.raises(PluginError, match=f"propose returned {kind}; return a Hypothesis"):
        proposed("a1", answer)


@pytest.mark.parametrize(("answer", "kind"), [(None, "None"), ({"accept": True}, "a dict")])
def test_a_feedback_of_another_type_is_refused_with_what_would_do(answer: Any, kind: str) -> None:
    with pytest.raises(PluginError, match=f"reflect returned {kind}; return a Feedback"):
        reflected("a1", answer)


@pytest.mark.anyio
async def test_a_next_that_finds_nothing_is_an_error_and_no_silence() -> None:
    with pytest.raises(RuntimeError, match="a next that found nothing"):
        await _ask(lambda context: next(iter(())), context_of_a_draft())


def context_of_a_draft() -> ReasonContext:
    return ReasonContext(*([None] * 10))  # type: ignore[arg-type]


def test_a_type_that_no_schema_describes_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(UsageError, match=r"no reply can be a Path: .*; use a msgspec\.Struct"):
        schema_of(Path)


def test_a_rehearsal_shows_what_the_recorded_reasoner_was_shown() -> None:
    first, later = context_at(RUN, "a1"), context_at(RUN, "a4", settings={"depth": 3})
    assert first.parent is None and first.attempt.hypothesis is None and not first.recollections
    assert later.parent is not None and later.parent.accepted and later.parent.code is not None
    assert later.attempt.id not in {r.attempt for r in later.recollections} and later.recollections
    assert later.settings == {"depth": 3}
    judged = context_at(RUN, "a4", reflect=True)
    assert judged.attempt.score is not None and isinstance(judged.attempt.hypothesis, Hypothesis)
    assert len(recorded(RUN)) > 100


def test_a_rehearsal_of_what_is_not_recorded_says_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no ProposalRequested for 'a999'; its attempts are a1, a2"):
        context_at(RUN, "a999")
    with pytest.raises(UsageError, match="there is no file of records"):
        recorded(str(tmp_path / "none.jsonl"))
    monkeypatch.setenv("GOME_HOME", str(tmp_path / "home"))
    with pytest.raises(UnknownRun, match="there is no run 'nobody'"):
        recorded("nobody")


@pytest.mark.anyio
async def test_a_rehearsed_call_without_a_reply_left_is_named() -> None:
    from anyio import to_thread

    context = await to_thread.run_sync(lambda: context_at(RUN, "a4", replies=["one"]))
    assert await context.complete("first", system="s", user="u") == "one"
    assert list(await context.recall(["anything"])) == list(context.recollections)
    with pytest.raises(UsageError, match="call second: no reply is left"):
        await context.complete("second", system="s", user="u")

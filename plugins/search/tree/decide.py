"""From a policy to a search plugin: the fold of events around it, and when its picks become steps.

As many steps are in flight as the run has capacity, unless the policy has nothing to do before one of them ends. Each
pick is made as if those before it in the same decision were in flight already. The search ends once the steps of the
budget are used up, when too many steps in a row failed before they could be scored, or when nothing is in flight and
the policy has nothing left; it says so once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gome.events import (
    AttemptAccepted,
    AttemptRejected,
    BudgetExhausted,
    CodeWritten,
    CompletionFailed,
    CompletionReceived,
    DataProfiled,
    Draw,
    Event,
    ExecutionFinished,
    Payload,
    ProposalFailed,
    RunForked,
    RunStarted,
    SearchEnded,
    SelectionStarted,
    Stage,
    StepPlanned,
    StopRequested,
    SubmissionScored,
)
from gome.kernel.plugin import Plugin
from gome.plugins.search.tree.fold import Tree, copied
from gome.plugins.search.tree.policy import FILLS, Pick, Policy
from gome.plugins.search.tree.settings import TreeSettings, read_settings

READS: tuple[type[Payload], ...] = (
    RunStarted,
    DataProfiled,
    StepPlanned,
    CodeWritten,
    SubmissionScored,
    ProposalFailed,
    AttemptAccepted,
    AttemptRejected,
    SelectionStarted,
    StopRequested,
    BudgetExhausted,
    SearchEnded,
    RunForked,
    # For the share of the budget that is used.
    ExecutionFinished,
    CompletionReceived,
    CompletionFailed,
)
ANSWERS: tuple[type[Payload], ...] = (DataProfiled, AttemptAccepted, AttemptRejected, RunForked)

AnyPolicy = Policy[Any, Any]


@dataclass(slots=True)
class Searching:
    """The state of a tree search: the tree, the settings, and what its policy keeps."""

    tree: Tree = field(default_factory=Tree)
    settings: TreeSettings = field(default_factory=TreeSettings)
    own: Any = None


def as_plugin(policy: AnyPolicy) -> Plugin:
    """The search plugin of a policy."""
    return Plugin(
        name=policy.name,
        role="search",
        summary=policy.summary,
        reads=READS,
        answers=ANSWERS,
        initial=Searching,
        evolve=partial(evolve, policy),
        decide=partial(decide, policy),
        settings=policy.settings,
        flags=policy.flags,
        modules=("gome.plugins.search.tree",),
    )


def evolve(policy: AnyPolicy, state: Searching, event: Event) -> Searching:
    """Fold one event, in place."""
    tree = state.tree
    payload = event.payload
    if isinstance(payload, StepPlanned):
        # Whatever goes by the share of the budget sees it as it was when the step was decided.
        policy.planned(tree, state.own, tree.plan(payload), Draw(tree.seed, event.id))
    tree.apply(event)
    match payload:
        case RunStarted() as started:
            tree.begin(started)
            tree.fills = FILLS in started.flags_of(policy.name)
            state.settings = read_settings(policy.settings, started.settings.get(policy.name))
            state.own = policy.begin(state.settings)
        case DataProfiled():
            tree.ready = True
        case CodeWritten(attempt=attempt) if attempt in tree.open:
            tree.nodes[attempt].written = True
        case SubmissionScored(attempt=attempt, purpose="full", score=score) if attempt in tree.open:
            tree.scores[attempt] = score
        case ProposalFailed(attempt=attempt, exhausted=True):
            tree.exhausted(attempt)
        case AttemptAccepted(attempt=attempt):
            _close(policy, state, event, attempt, "", accepted=True)
        case AttemptRejected(attempt=attempt, failure=failure):
            _close(policy, state, event, attempt, failure, accepted=False)
        case SelectionStarted() | StopRequested() | BudgetExhausted():
            tree.stopped = True
        case SearchEnded():
            tree.ended = True
    return state


def _close(policy: AnyPolicy, state: Searching, event: Event, attempt: str, failure: str, *, accepted: bool) -> None:
    tree = state.tree
    node = tree.close(attempt, failure, accepted=accepted)
    if node is None:
        return
    best = tree.best
    if node.good:
        node.failure = policy.refused(tree, state.own, node)
    tree.count(node)
    policy.closed(tree, state.own, node, best, Draw(tree.seed, event.id))


def decide(policy: AnyPolicy, state: Searching, event: Event, draw: Draw) -> Sequence[Payload]:
    """Fill the free capacity with steps, or say that the search is over."""
    tree = state.tree
    if not tree.ready or tree.stopped or tree.ended:
        return ()
    left = tree.steps_left
    given_up = tree.failed_in_a_row >= state.settings.failures
    free = tree.capacity - len(tree.open)
    if left is not None:
        free = min(free, left)
    steps: list[StepPlanned] = [] if given_up else _steps(policy, state, free, draw)
    if steps or tree.open:
        return steps
    if left is not None and left <= 0:
        return [SearchEnded(reason=f"all {tree.ledger.budget.steps} steps of the budget are done")]
    if given_up:
        return [SearchEnded(reason=f"{tree.failed_in_a_row} steps in a row failed before they could be scored")]
    return [SearchEnded(reason="the reasoner has nothing left to propose anywhere in the tree")]


def _steps(policy: AnyPolicy, state: Searching, free: int, draw: Draw) -> list[StepPlanned]:
    """At most `free` steps, each picked with those before it in flight."""
    steps: list[StepPlanned] = []
    while len(steps) < free:
        number = len(steps)
        own_draw = Draw(draw.seed, f"{draw.event}/{number}") if number else draw
        pick = policy.pick(state.tree, state.own, own_draw)
        if pick is None:
            break
        step = _step(policy, state.tree, pick)
        steps.append(step)
        if len(steps) < free:
            if number == 0:
                state = copied(state)
            policy.planned(state.tree, state.own, state.tree.plan(step), own_draw)
            state.tree.ledger.steps += 1
    return steps


def _step(policy: AnyPolicy, tree: Tree, pick: Pick) -> StepPlanned:
    parent = tree.nodes.get(pick.parent)
    trace = parent.trace if parent else max(tree.traces, default=-1) + 1
    stage: Stage = "draft" if pick.kind == "draft" else "improve"
    if pick.kind in ("crossover", "fusion"):
        stage = "ensemble"
    return StepPlanned(
        attempt=f"a{len(tree.nodes) + 1}",
        trace=trace,
        step=tree.traces.get(trace, 0) + 1,
        kind=pick.kind,
        stage=stage,
        parent=pick.parent,
        parents=pick.parents,
        reason=pick.why,
        context=f"{policy.scope}.{pick.kind}",
    )

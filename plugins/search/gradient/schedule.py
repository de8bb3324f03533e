"""Who is next: the policies by which free capacity is given to traces. Pure.

`round-robin`: the trace with the fewest steps; every trace steps from its last accepted attempt, one step at a time.

`softmax`: the same, but the trace is drawn with probability ∝ exp(potential / temperature) among those that are free.

`puct`: a tree search over all accepted attempts: any of them may be built on again, also beside a step in flight on the
same trace. The next one has the largest

    Q + c_puct · P · √(steps so far) / (1 + visits)

where an attempt's visits are itself and every step below it, Q is their mean reward, P the softmax of the potentials,
and a step in flight counts as a visit without reward, so that two workers do not choose the same attempt by accident.

All three give every trace its first step before any other gets a second one. A score enters as its
difference times the metric's direction, so negated scores under the opposite direction lead to the same choices.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from gome.events import Draw
from gome.plugins.search.gradient.state import Node, Search, rounded


class Choice(NamedTuple):
    """A trace whose turn it is, the accepted attempt to build on ("" for a draft), and why it was chosen ("" where
    there is nothing to say)."""

    trace: int
    parent: str
    why: str = ""


def choose(state: Search, free: int, draw: Draw) -> list[Choice]:
    """Return at most `free` choices; none when no trace is due."""
    policy = {"round-robin": _round_robin, "softmax": _softmax, "puct": _puct}[state.settings.scheduler]
    return policy(state, free, draw)


def _round_robin(state: Search, free: int, draw: Draw) -> list[Choice]:
    due = sorted((t.steps, i) for i, t in enumerate(state.traces) if not t.open and not t.exhausted)
    return [Choice(i, state.traces[i].head) for _, i in due[:free]]


def _softmax(state: Search, free: int, draw: Draw) -> list[Choice]:
    chosen = [Choice(i, "") for i, t in enumerate(state.traces) if not t.steps][:free]
    due = [i for i, t in enumerate(state.traces) if t.steps and not t.open and not t.exhausted]
    while due and len(chosen) < free:
        weights = _weights(state, [_of_trace(state, i) for i in due])
        number = draw.weighted(range(len(due)), weights, f"trace/{len(chosen)}")
        trace = due.pop(number)
        chance = weights[number] / sum(weights)
        chosen.append(Choice(trace, state.traces[trace].head, f"trace {trace} was drawn with probability {chance:.3f}"))
    return chosen


def _puct(state: Search, free: int, draw: Draw) -> list[Choice]:
    chosen = [Choice(i, "") for i, t in enumerate(state.traces) if not t.steps][:free]
    visits, rewards = _below(state)
    names = [name for name in state.nodes if name not in state.dry]
    potentials = [_of_node(state, state.nodes[name]) for name in names]
    drafts = {f"trace {i}": i for i, t in enumerate(state.traces) if t.steps and not (t.head or t.open or t.exhausted)}
    for name, number in drafts.items():  # drafts that failed are visits without reward of a root of their own
        names.append(name)
        potentials.append(_of_trace(state, number))
        visits[name], rewards[name] = state.traces[number].steps, 0.0
    priors = dict(zip(names, _weights(state, potentials), strict=True))
    total = sum(priors.values())
    while priors and len(chosen) < free:
        selections = math.sqrt(max(1, state.planned + len(chosen)))
        best, value, parts = "", -math.inf, (0.0, 0.0)
        for name, prior in priors.items():
            q = rewards[name] / visits[name]
            u = state.settings.c_puct * (prior / total) * selections / (1 + visits[name])
            if (sum_ := rounded(q + u)) > value:  # of equals the older one
                best, value, parts = name, sum_, (q, u)
        why = f"Q {parts[0]:.3f} + U {parts[1]:.3f} is the largest"
        if best in drafts:
            chosen.append(Choice(drafts[best], "", why))
            del priors[best]
            continue
        chosen.append(Choice(state.nodes[best].trace, best, why))
        while best in state.nodes:  # the step that is being planned is a visit without reward
            visits[best] += 1
            best = state.nodes[best].parent
    return chosen


def _below(state: Search) -> tuple[Counter[str], dict[str, float]]:
    """Visits and rewards of every node, those below it included."""
    visits: Counter[str] = Counter()
    rewards = dict.fromkeys(state.nodes, 0.0)
    # Whoever was accepted later lies below: one pass from the latest on is enough. An accepted step is counted by its
    # own node, so a node's own visits are itself, its refused steps and those in flight.
    accepted = Counter(node.parent for node in state.nodes.values())
    for name, node in reversed(state.nodes.items()):
        visits[name] += 1 + node.tries - accepted[name] + node.pending
        rewards[name] += node.reward
        if node.parent in state.nodes:
            visits[node.parent] += visits[name]
            rewards[node.parent] += rewards[name]
    return visits, rewards


def _weights(state: Search, potentials: Sequence[float]) -> list[float]:
    """Weights in proportion to exp(potential / temperature), the largest 1."""
    top = max(potentials, default=0.0)
    return [rounded(math.exp((p - top) / state.settings.temperature)) for p in potentials]


def _of_trace(state: Search, number: int) -> float:
    """Potential of a trace: that of its last accepted attempt, with the steps it has taken since."""
    trace = state.traces[number]
    head = state.nodes.get(trace.head)
    match state.settings.potential:
        case "length":
            return float(trace.steps)
        case "accepted":
            return float(trace.accepted)
        case "gain" if head:
            return _of_node(state, head)
    return 0.0


def _of_node(state: Search, node: Node) -> float:
    """Potential of an accepted attempt, by the setting."""
    match state.settings.potential:
        case "length":
            return float(node.step)
        case "accepted":
            return float(node.depth)
        case "gain" if node.score is not None and node.root is not None:
            return state.relative(state.sign * (node.score - node.root))
    return 0.0

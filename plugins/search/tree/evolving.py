"""What MLEvolve adds to ML-Master's chains, as functions of numbers and of the tree: when to exploit, whom to rank,
when a branch or everything stands still. Source: MLEvolve at `7d8403c`."""

from __future__ import annotations

from heapq import nsmallest

from gome.plugins.search.tree.fold import Node, Tree, rounded


def soft_switch(f: float) -> float:
    """Probability of exploring by UCT at the share f of the time: 1 up to 0.5, 0.2 from 0.7 on, linear between."""
    if f < 0.5:
        return 1.0
    return rounded(1.0 - 0.8 * (f - 0.5) / 0.2) if f < 0.7 else 0.2


def by_rank(count: int) -> list[float]:
    """Probabilities in proportion to 1/rank of so many candidates, best first."""
    total = sum(1.0 / rank for rank in range(1, count + 1))
    return [rounded(1.0 / rank / total) for rank in range(1, count + 1)]


def top(tree: Tree, count: int, per_branch: int) -> list[Node]:
    """The best good nodes over all branches, at most so many of each."""
    best = [name for names in tree.by_branch.values() for name in _best(tree, names, per_branch)]
    return tree.ranked(best)[:count]


def _best(tree: Tree, names: list[str], count: int) -> list[str]:
    return [node.name for node in nsmallest(count, (tree.nodes[n] for n in names), key=tree.rank)]


def stagnant(tree: Tree, branch: int, window: int) -> bool:
    """Whether the last successes of a branch, two or more, do not hold its best."""
    names = tree.by_branch.get(branch, [])
    recent = names[-window:]
    return len(recent) >= 2 and tree.first(names).name not in recent


def stuck(tree: Tree, window: int, threshold: float, *, released: bool) -> bool:
    """Whether the latest successes of all branches are no better than what was there before them. As released they were
    compared with a best that holds them, so that any full window was standing still."""
    if len(tree.good) < window:
        return False
    if released:
        return True
    before = tree.good[:-window]
    if not before:
        return False
    old, new = tree.first(before).score, tree.first(tree.good[-window:]).score
    assert old is not None and new is not None
    return tree.better(new, old) < threshold


def representatives(tree: Tree, *, released: bool) -> tuple[str, ...]:
    """One node of each branch with good ones, the best. As released the largest score was taken in any direction."""
    found = []
    for _, names in sorted(tree.by_branch.items()):
        largest = max(names, key=lambda name: tree.nodes[name].score or 0.0)
        found.append(largest if released else tree.first(names).name)
    return tuple(found)


def borrowed(tree: Tree, branch: int, each: int = 2, most: int = 5) -> tuple[str, ...]:
    """The best nodes of the other branches, at most two of each and five in all, best first."""
    best = [n for b, names in tree.by_branch.items() if b != branch for n in _best(tree, names, each)]
    return tuple(node.name for node in tree.ranked(best)[:most])

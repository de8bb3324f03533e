"""AIRA-dojo's evolutionary solver: islands of solutions, generations of improvements and crossovers.

The first generation are drafts. Of a later one each individual is a crossover with probability `crossover_prob` (not
before the third generation), else an improvement, of parents drawn by the softmax of their fitness on an island drawn
by that of its mean fitness; with all islands empty it is a draft. A failed child is repaired until it works or is
discarded. When a generation is complete, each child joins its island if it is no worse than the island's mean; beyond
`max_island_size` the worst one goes. Then, with probability `migration_prob`, the weaker half of the islands keeps only
its best and gets one solution, not the best, from another island.

As released the better half is reset, and children and islands are matched without those discarded, so that they get out
of step. Where more steps may be in flight than a generation has left, the next one begins on the population as it is.
Scaled, a generation ends after the share `drafting` of the budget. Source: aira-dojo of 2025-09-26.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from gome.events import Draw
from gome.plugins.search.tree.fold import ROOT, Node, Tree, rounded
from gome.plugins.search.tree.policy import Pick, Policy
from gome.plugins.search.tree.repairs import Repairs
from gome.plugins.search.tree.settings import Count, ScaledSettings, Share, Variant

Warmth = Annotated[float, Meta(gt=0)]


class EvoSettings(ScaledSettings, frozen=True):
    """The constants of the benchmark preset. The temperature goes from `warm` to `cold` in `generations`, or, scaled,
    in the run's budget."""

    variant: Variant = "repaired"
    islands: Count = 1
    max_island_size: Count = 500
    individuals: Count = 5
    generations: Count = 100
    crossover_prob: Share = 0.5
    crossover_after: Annotated[int, Meta(ge=0)] = 2
    migration_prob: Share = 0.0
    warm: Warmth = 1.0
    cold: Warmth = 1.0
    max_debug_depth: Count = 10


@dataclass(slots=True)
class Generation:
    """Individuals in planning order with what came of each: a node, or "" for one that was discarded."""

    members: list[str] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    settled: bool = False


@dataclass(slots=True)
class Population:
    """`islands` hold names of good nodes; `home` is the island of every individual and of its repairs; `low` and `high`
    are the extremes of the run's scores."""

    settings: EvoSettings
    islands: list[list[str]]
    generations: list[Generation] = field(default_factory=list)
    home: dict[str, int] = field(default_factory=dict)
    low: float = math.inf
    high: float = -math.inf
    repairs: Repairs = field(default_factory=Repairs)


def softmax(fitness: Sequence[float], temperature: float) -> list[float]:
    """Probabilities in proportion to exp(fitness / temperature)."""
    top = max(fitness, default=0.0)
    powers = [math.exp((f - top) / temperature) for f in fitness]
    total = sum(powers)
    return [rounded(p / total) for p in powers]


class EvoPolicy(Policy[EvoSettings, Population]):
    """See the module."""

    def begin(self, settings: EvoSettings) -> Population:
        """See `Policy.begin`."""
        return Population(settings, [[] for _ in range(settings.islands)])

    def planned(self, tree: Tree, own: Population, node: Node, draw: Draw) -> None:
        """See `Policy.planned`."""
        own.repairs.planned(node)
        first = own.repairs.first[node.name]
        if first != node.name:
            own.home[node.name] = own.home[first]
            return
        own.home[node.name] = own.home.get(node.parent, draw.below(len(own.islands), "island"))
        if not own.generations or self._over(tree, own):
            own.generations.append(Generation())
        own.generations[-1].members.append(node.name)
        self._settle(tree, own, draw)

    def closed(self, tree: Tree, own: Population, node: Node, best: float | None, draw: Draw) -> None:
        """See `Policy.closed`."""
        if node.score is not None and node.good:
            own.low, own.high = min(own.low, node.score), max(own.high, node.score)
        if own.repairs.goes_on(node, own.settings.max_debug_depth):
            return
        first = own.repairs.first[node.name]
        for generation in own.generations:
            if first in generation.members:
                generation.results.setdefault(first, node.name if node.good else "")
        self._settle(tree, own, draw)

    def _over(self, tree: Tree, own: Population) -> bool:
        """Whether the latest generation gets no further individual."""
        number, given = len(own.generations), own.settings
        if len(own.generations[-1].members) >= given.individuals:
            return True
        return given.scaled and tree.used >= number * given.drafting

    def _settle(self, tree: Tree, own: Population, draw: Draw) -> None:
        """Let the children of complete generations into the population."""
        for generation in own.generations:
            over = generation is not own.generations[-1] or self._over(tree, own)
            if not generation.settled and over and len(generation.results) == len(generation.members):
                generation.settled = True
                self._survive(tree, own, generation)
                if len(own.islands) > 1 and draw.uniform("migration") < own.settings.migration_prob:
                    self._migrate(tree, own, draw)

    def _survive(self, tree: Tree, own: Population, generation: Generation) -> None:
        kept = [(m, generation.results[m]) for m in generation.members if generation.results[m]]
        homes = [own.home[m] for m, _ in kept]
        if own.settings.variant == "released":
            homes = [own.home[m] for m in generation.members]
        for (_, name), number in zip(kept, homes, strict=False):
            island = own.islands[number]
            if not island or fitness(tree, own, name) >= mean(tree, own, island):
                island.append(name)
            if len(island) > own.settings.max_island_size:
                island.remove(tree.ranked(island)[-1].name)

    def _migrate(self, tree: Tree, own: Population, draw: Draw) -> None:
        order = sorted(range(len(own.islands)), key=lambda i: (mean(tree, own, own.islands[i]), -i))
        half = len(order) // 2
        reset, kept = (
            (order[half:], order[:half]) if own.settings.variant == "released" else (order[:half], order[half:])
        )
        for number in reset:
            own.islands[number] = [n.name for n in tree.ranked(own.islands[number])[:1]]
            source = own.islands[draw.choice(kept, f"from/{number}")]
            others = [n.name for n in tree.ranked(source)[1:] if n.name not in own.islands[number]]
            if others:
                chances = softmax([fitness(tree, own, n) for n in others], temperature(tree, own))
                own.islands[number].append(draw.weighted(others, chances, f"migrant/{number}"))

    def pick(self, tree: Tree, own: Population, draw: Draw) -> Pick | None:
        """See `Policy.pick`."""
        if repair := own.repairs.next(tree):
            return repair
        latest = len(own.generations)
        number = latest if not latest or self._over(tree, own) else latest - 1
        what = f"generation {number + 1}"
        drafting = ROOT not in tree.dry
        if number == 0 and drafting:
            return Pick("draft", why=f"{what}: drafts")
        fertile = [[n for n in island if n not in tree.dry] for island in own.islands]
        if not any(fertile):
            if drafting:
                return Pick("draft", why=f"{what}: there is nobody to improve on")
            rest = [n for n in tree.good if n not in tree.dry]
            return Pick("improve", draw.choice(rest, "rest"), why=f"{what}: whoever is left") if rest else None
        return self._offspring(tree, own, draw, fertile, number, what)

    def _offspring(
        self, tree: Tree, own: Population, draw: Draw, fertile: list[list[str]], number: int, what: str
    ) -> Pick:
        warmth = temperature(tree, own)
        inhabited = [island for island in fertile if island]
        chances = softmax([mean(tree, own, island) for island in inhabited], warmth)
        names = list(draw.weighted(inhabited, chances, "island"))
        crossed = number >= own.settings.crossover_after and draw.uniform("operator") < own.settings.crossover_prob
        parents: list[str] = []
        for place in range(2 if crossed and len(names) > 1 else 1):
            chances = softmax([fitness(tree, own, n) for n in names], warmth)
            chosen = draw.weighted(names, chances, f"parent/{place}")
            parents.append(chosen)
            names.remove(chosen)
        why = f"{what}: drawn by fitness"
        if len(parents) > 1:
            return Pick("crossover", parents[0], (parents[1],), why)
        return Pick("improve", parents[0], why=why)


def fitness(tree: Tree, own: Population, name: str) -> float:
    """Where a good node's score lies between the worst (0) and the best (1) of the run; 0.5 where these are one."""
    score = tree.nodes[name].score
    assert score is not None
    if own.low == own.high:
        return 0.5
    return (score - own.low if tree.sign > 0 else own.high - score) / (own.high - own.low)


def mean(tree: Tree, own: Population, island: Sequence[str]) -> float:
    """Mean fitness of an island, 0 for an empty one."""
    return sum(fitness(tree, own, n) for n in island) / len(island) if island else 0.0


def temperature(tree: Tree, own: Population) -> float:
    """The temperature of the present generation."""
    given = own.settings
    progress = tree.used if given.scaled else min(1.0, max(0, len(own.generations) - 1) / given.generations)
    return rounded(given.warm + (given.cold - given.warm) * progress)


aira_evo = EvoPolicy(
    name="aira-evo",
    scope="aira",
    summary="AIRA-dojo's evolution: generations of improvements and crossovers on islands",
    settings=EvoSettings,
)

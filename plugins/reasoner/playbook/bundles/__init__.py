"""Groups of feature steps that belong together, read off the columns' names, units and ranges.

A bundle is what one hypothesis adds: a few steps with a reason a person can check. Which bundle is worth trying now is
decided elsewhere (`moves`, `believe`); nothing here knows a data set.
"""

from __future__ import annotations

from collections.abc import Sequence

from gome.plugins.reasoner.playbook.bundles import arithmetic, categories, special
from gome.plugins.reasoner.playbook.bundles.bundle import Bundle
from gome.plugins.reasoner.playbook.facts import Facts

_MAKERS = (
    categories.quality,
    arithmetic.years,
    arithmetic.sums,
    arithmetic.ratios,
    arithmetic.products,
    categories.targets,
    special.space,
    categories.groups,
    categories.codes,
    special.missing,
    categories.crosses,
    special.texts,
    special.dates,
    special.drift,
)


def bundles(facts: Facts, importance: Sequence[tuple[str, float]] = ()) -> list[Bundle]:
    """Return all bundles that the columns suggest, whether they have been tried or not."""
    found = [bundle for make in _MAKERS for bundle in make(facts, importance)]
    return [b for b in found if b.steps]


__all__ = ["Bundle", "bundles"]

"""The graders of the benchmark's competitions, and which competitions have none here, with the reason.

`by_competition.py` says which grader belongs to which competition. The metrics are in `tables.py`, `words.py`,
`masks.py` and `special.py`, what makes a submission invalid in `checking.py`. They were written from the published
graders' behaviour; quirks that change scores are kept and named. `grading.py` calls them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gome.plugins.tasks.mlebench.graders.checking import Grade

UNSUPPORTED: dict[str, str] = {
    "3d-object-detection-for-autonomous-vehicles": "its metric intersects rotated boxes in space with pyquaternion and "
    "shapely, which gome does not use",
    "vinbigdata-chest-xray-abnormalities-detection": "its metric is the evaluator of pycocotools, which gome does not "
    "use",
}
"""Competitions that cannot be graded here, and why; `mlebench grade` grades them."""


def graders() -> dict[str, Grade]:
    """Every grader by competition. scikit-learn and scipy are imported here and not before."""
    from gome.plugins.tasks.mlebench.graders.by_competition import GRADERS

    return GRADERS

"""Lets a rendered program say each fold's score as soon as it is known, for a runner that stops hopeless executions.

A change of the text after rendering, so that programs of runs that do not ask for it stay what they are, byte for byte.
Only where a fold's score is final when its model is fitted: one member, neither calibrated nor shrunk by its blend.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from gome.events.pipeline import Pipeline
from gome.plugins.mutator.pipeline.render import RENDERER

RENDERER_OF_PARTIAL = "sha256-" + hashlib.sha256((RENDERER + Path(__file__).read_text()).encode()).hexdigest()
"""Digest of the renderer together with this file."""

_AFTER = "        oof[held], test = made[1], test + made[2]\n"
_ADDED = """        if "GOME_PARTITION" in os.environ:  # whoever runs this may stop it when it is hopeless
            with open("partial_scores.csv", "a") as file:
                file.write(f"{k},{score(y[held], made[1])}\\n")
"""


def suits(pipeline: Pipeline) -> bool:
    """Whether the score of a fold is known before the others are fitted."""
    return len(pipeline.members) == 1 and pipeline.blend.kind == "single" and not pipeline.members[0].temperature


def with_partial_scores(program: str) -> str:
    """Return a rendered program that appends `fold,score` to `partial_scores.csv` after each fold."""
    if program.count(_AFTER) != 1:
        raise ValueError("the program has no place where a fold's score is known")
    return program.replace(_AFTER, _AFTER + _ADDED)

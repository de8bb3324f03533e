"""Writes the faults that members declare into a rendered program, where whoever reads it can see them.

Experiments on how a search copes with a weak reasoner need programs that break, or that are silently worse than meant
(see `gome.events.pipeline.Member`). A change of the text after rendering, so that programs without a fault stay what
they are, byte for byte. The fit of such a member is wrapped; nothing else of the program is touched.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from gome.events.pipeline import Pipeline, member_key
from gome.plugins.mutator.pipeline.render import RENDERER

RENDERER_OF_FAULTS = "sha256-" + hashlib.sha256((RENDERER + Path(__file__).read_text()).encode()).hexdigest()
"""Digest of the renderer together with this file."""

_TITLE = "\n# Declared faults: written on purpose, to see how a search copes with them\n\n"
_WRAPPERS = {
    "crash": '''
def crashing(fit: Any) -> Any:
    """A fit that breaks."""

    def fitted(*given: Any, **options: Any) -> Any:
        raise RuntimeError(f"declared fault: {fit.__name__} breaks")

    return fitted

''',
    "noise": '''
def noisy(fit: Any) -> Any:
    """A fit to targets of which a quarter has been dealt anew: worse than it should be, and nothing says so."""

    def fitted(x: Any, y: np.ndarray, seed: int, *given: Any, **options: Any) -> Any:
        generator, goal = np.random.default_rng(seed), y.copy()
        dealt = generator.permutation(len(y))[: len(y) // 4]
        goal[dealt] = y[generator.permutation(dealt)]
        return fit(x, goal, seed, *given, **options)

    return fitted

''',
}
_NAMES = {"crash": "crashing", "noise": "noisy"}
_BEFORE = "\n\nSCORE = "


def faulty(pipeline: Pipeline) -> bool:
    """Whether any member declares a fault."""
    return any(m.fault != "none" for m in pipeline.members)


def with_faults(program: str, pipeline: Pipeline) -> str:
    """Return a rendered program with the faults of its members. ValueError if it has no place for one."""
    for member in pipeline.members:
        if member.fault == "none":
            continue
        head, found, rest = program.partition(f'        key="{member_key(member)}",\n')
        family, opened, options = rest.partition("        model=(")
        if not found or not opened or family.count("\n") != 1:
            raise ValueError("the program has no place where a member's fit is named")
        fit, comma, tail = options.partition(",")
        program = f"{head}{found}{family}{opened}{_NAMES[member.fault]}({fit}){comma}{tail}"
    used = [text for name, text in _WRAPPERS.items() if any(m.fault == name for m in pipeline.members)]
    before, mark, after = program.partition(_BEFORE)
    if not mark:
        raise ValueError("the program has no place for a fault")
    return before + "\n\n" + _TITLE + "\n".join(used) + mark.lstrip("\n") + after

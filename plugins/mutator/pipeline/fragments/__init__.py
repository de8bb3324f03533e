"""Parts of the programs that the pipeline mutator writes: ordinary modules, so that they can be linted and typed.

The renderer (`render.py`) copies from here only the definitions that a pipeline uses, in the order of `ORDER`, with
the constants of `constants.py` replaced by the task's. Nothing in gome imports these modules to run them; a program is
self-contained text. Rules for a fragment: besides other fragments it imports pandas, numpy, scikit-learn, lightgbm,
scipy, torch and the standard library only; names are unique over all fragments; the first line of the docstring becomes
the title of its section.
"""

from __future__ import annotations

ORDER = (
    "tables",
    "steps",
    "text",
    "encodings",
    "matrices",
    "targets",
    "boosters",
    "linear",
    "kernels",
    "others",
    "network",
    "metrics",
    "blends",
    "members",
    "main",
)
"""Fragment modules in the order in which their definitions appear in a program."""

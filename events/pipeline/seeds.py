"""Other seeds for a program that the pipeline mutator rendered; selection asks for them."""

from __future__ import annotations

import re
from collections.abc import Sequence


def with_seeds(program: str, seeds: Sequence[int], partitions: Sequence[int]) -> str:
    """Return a rendered program's text with other `SEEDS` and `PARTITIONS`: it runs the pairs in order and averages.

    ValueError if the text has no such lines (then it was not rendered by the pipeline mutator) or the lists differ in
    length. The environment's GOME_SEED and GOME_PARTITION override only one-element lists, so a program with several
    pairs always does the same.
    """
    if len(seeds) != len(partitions) or not seeds:
        raise ValueError(f"{len(seeds)} seeds and {len(partitions)} partitions do not pair up")
    text = program
    for name, values in (("SEEDS", seeds), ("PARTITIONS", partitions)):
        line = f"{name} = {[int(v) for v in values]}"
        text, count = re.subn(rf"(?m)^{name} = \[[0-9, ]*\]", line, text, count=1)
        if not count:
            raise ValueError(f"the program has no line '{name} = […]': it was not rendered by the pipeline mutator")
    return text

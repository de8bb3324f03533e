"""`python -m gome.kernel.cli`: the command `gome` where its script is not on the path."""

from __future__ import annotations

from gome.kernel.cli import main

main()

"""The baseline: default LightGBM on the raw table, so that every run has something to be better than."""

from __future__ import annotations

from gome.plugins.baseline.decide import plugin

__all__ = ["plugin"]

"""The mutator that writes programs from declarative pipelines: closed vocabulary in, one readable program out."""

from __future__ import annotations

from gome.plugins.mutator.pipeline.decide import plugin

__all__ = ["plugin"]

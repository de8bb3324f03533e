"""Constants that the renderer replaces; the values here only make the fragments importable."""

from __future__ import annotations

from pathlib import Path

KIND = "regression"
METRIC = "rmse"
GREATER = False
ID = "id"
TARGET = "y"
CLASSES: list[str] = []
NUMERIC: list[str] = ["x"]
CATEGORY: list[str] = []
TEXT: list[str] = []
TIME: list[str] = []
SEEDS = [0]
PARTITIONS = [0]
THREADS = 1
DEBUG = False
SPACE = "plain"
HERE = Path(".")

"""Which programs are given a GPU where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gome.plugins.runner.sandbox.gpu_use import can_use_gpu

CAN = [
    "import torch",
    "import numpy as np, torch.nn as nn",
    "from torch import nn",
    "from sklearn.svm import SVC\ndef f():\n    from tensorflow import keras",
    "import xgboost as xgb",
    "from catboost import CatBoostClassifier",
    "from numba import cuda",
    "import jax.numpy as jnp",
    "import importlib\nt = importlib.import_module('torch.nn')",
    "t = __import__('cupy')",
    "import lightgbm as lgb\nlgb.LGBMClassifier(device_type='gpu')",
    "import lightgbm as lgb\np = {'device': 'CUDA'}",
    "p['device'] = 'cuda:0'",
    "import torch\nthis does not parse (",
    "import lightgbm\nx = f(device='gpu' this does not parse",
]
CANNOT = [
    "",
    "import numpy, pandas, sklearn, scipy, lightgbm",
    "# import torch\ntext = 'import torch'",
    "from .torch import x",
    "import torchless",
    "from numba import njit",
    "device = 'cpu'; note = 'no gpu here'",
    "import lightgbm as lgb\nlgb.LGBMClassifier(device_type='cpu')",
    "this does not parse (",
    "x = '\\d'",
]


@pytest.mark.parametrize("program", CAN)
def test_who_imports_what_computes_on_gpus_or_asks_for_one_can_use_one(program: str) -> None:
    assert can_use_gpu(program)


@pytest.mark.parametrize("program", CANNOT)
def test_others_cannot(program: str) -> None:
    assert not can_use_gpu(program)


def test_of_the_rendered_fragments_only_the_network_can() -> None:
    from gome.plugins.mutator.pipeline import fragments

    folder = Path(next(iter(fragments.__path__)))
    assert {path.stem for path in folder.glob("*.py") if can_use_gpu(path.read_text())} == {"network"}

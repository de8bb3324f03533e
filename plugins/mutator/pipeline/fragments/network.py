"""Torch network: embeddings of categories beside scaled numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gome.plugins.mutator.pipeline.fragments.boosters import Fitted
from gome.plugins.mutator.pipeline.fragments.constants import CLASSES, KIND, THREADS
from gome.plugins.mutator.pipeline.fragments.matrices import dense


class Net(torch.nn.Module):
    """Embeddings and numbers, then layers with batch norm, SiLU and dropout."""

    def __init__(self, numbers: int, levels: list[int], hidden: list[int], dropout: float, outputs: int) -> None:
        super().__init__()
        sizes = [min(32, 2 + n // 2) for n in levels]
        self.tables = torch.nn.ModuleList(torch.nn.Embedding(n + 1, d) for n, d in zip(levels, sizes, strict=True))
        layers: list[torch.nn.Module] = []
        width = numbers + sum(sizes)
        for size in hidden:
            layers += [torch.nn.Linear(width, size), torch.nn.BatchNorm1d(size), torch.nn.SiLU()]
            layers += [torch.nn.Dropout(dropout)]
            width = size
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(width, outputs))

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        pieces = [table(codes[:, i]) for i, table in enumerate(self.tables)]
        return self.layers(torch.cat([numbers, *pieces], dim=1))


def fit_network(x: Any, y: np.ndarray, seed: int, matrix: Any, **p: Any) -> Fitted:
    """The network of one seed, trained for a fixed number of epochs with AdamW and one cycle."""
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = dense(x)
    marked = matrix.categorical
    rest = [i for i in range(x.shape[1]) if i not in set(marked)]
    levels = [int(x[:, i].max()) + 1 for i in marked]
    regression = KIND == "regression"
    middle, spread = (float(y.mean()), max(float(y.std()), 1e-12)) if regression else (0.0, 1.0)
    goal = torch.tensor((y - middle) / spread, dtype=torch.float32)[:, None] if regression else torch.tensor(y)

    def inputs(rows: Any) -> tuple[torch.Tensor, torch.Tensor]:
        rows = dense(rows)
        codes = np.minimum(rows[:, marked], np.asarray(levels, dtype=float)) if marked else rows[:, []]
        return torch.tensor(rows[:, rest], dtype=torch.float32), torch.tensor(codes, dtype=torch.long)

    numbers, codes = (part.to(device) for part in inputs(x))
    goal = goal.to(device)
    net = Net(len(rest), levels, list(p["hidden"]), p["dropout"], 1 if regression else len(CLASSES)).to(device)
    batch = min(p["batch"], len(y))
    steps = max(1, len(y) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), lr=p["learning_rate"], weight_decay=p["weight_decay"])
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, p["learning_rate"], total_steps=steps * p["epochs"])
    loss_of: Any = torch.nn.HuberLoss() if regression else torch.nn.CrossEntropyLoss()
    order = torch.Generator().manual_seed(seed)
    net.train()
    for _ in range(p["epochs"]):
        shuffled = torch.randperm(len(y), generator=order).to(device)
        for step in range(steps):
            rows = shuffled[step * batch : (step + 1) * batch]
            optimiser.zero_grad()
            loss_of(net(numbers[rows], codes[rows]), goal[rows]).backward()
            optimiser.step()
            cycle.step()
    net.eval()

    def predict(rows: Any) -> np.ndarray:
        with torch.no_grad():
            values, kinds = inputs(rows)
            found = [
                net(v.to(device), k.to(device)) for v, k in zip(values.split(8192), kinds.split(8192), strict=True)
            ]
            out = torch.cat(found)
            if regression:
                return out.double().cpu().numpy() * spread + middle
            shown = torch.softmax(out.double(), dim=1).cpu().numpy()
            return shown[:, 1:2] if KIND == "binary" else shown

    return predict, {"epochs": p["epochs"], "device": device}

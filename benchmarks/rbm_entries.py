"""Who takes part in ``rbm.py``: each trains an RBM, 784–500, batch 100, and gives W, b and c."""

import contextlib
import io
import logging
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

import genus
from genus.engine import Budget, Descend, Optimiser, Tensors, run
from genus.engine.algorithm import Objective
from genus.models import RBM
from genus.objectives.contrastive import ContrastiveDivergence, PersistentContrastiveDivergence
from genus.recipes.boltzmann import MOST_FOR_MEAN

PRODUCTS = "five products"
LOW = "five products in bf16"
MOVED = "five products on gathered batches"
VISIBLE, HIDDEN, BATCH, RATE = 784, 500, 100, 0.1
Parameters = tuple[Tensor, Tensor, Tensor]
"""W (visible, hidden), b, c."""


def begun(device: str) -> Parameters:
    """Small weights and no biases."""
    weights = 0.01 * torch.randn(VISIBLE, HIDDEN, device=device)
    return weights, torch.zeros(VISIBLE, device=device), torch.zeros(HIDDEN, device=device)


class Genus:
    """This package: the engine, with its log of losses and centred gradients.

    What is compiled was so before the clock starts: the first to be asked also warms up. Visible
    biases begin at the log odds of as many pictures as the recipes look at.
    """

    def __init__(
        self,
        chains: str,
        precision: Literal["float32", "bf16"],
        device: str,
        *,
        compiled: bool = False,
    ) -> None:
        self.precision, self.device, self.compiled = precision, device, compiled
        objective: Objective = ContrastiveDivergence(1)
        if chains == "PCD":
            objective = PersistentContrastiveDivergence(1, BATCH)
        self.algorithm = Descend(objective, Optimiser("sgd", RATE, (0.0, 0.0)), batch_size=BATCH)

    def train(self, x: Tensor, epochs: int) -> Parameters:
        torch.manual_seed(0)
        model = RBM(genus.Binary((VISIBLE,)), HIDDEN)
        model.set_visible_bias(x[:MOST_FOR_MEAN].mean(0))
        run(
            model,
            Tensors(x, model.space),
            self.algorithm,
            budget=Budget(epochs=epochs),
            device=self.device,
            precision=self.precision,
            compiled=self.compiled,
        )
        return model.weights, model.visible_bias, model.hidden_bias


class PlainTorch:
    """What one writes by hand: probabilities, ``torch.bernoulli``, two outer products."""

    def __init__(self, chains: str, device: str) -> None:
        self.chains, self.device = chains, device

    @torch.no_grad()
    def train(self, x: Tensor, epochs: int) -> Parameters:
        torch.manual_seed(0)
        x = x.to(self.device)
        weights, b, c = begun(self.device)
        chain = torch.bernoulli(torch.full((BATCH, HIDDEN), 0.5, device=self.device))
        for _ in range(epochs):
            order = torch.randperm(len(x), device=self.device)
            for rows in order.split(BATCH):
                v = x[rows]
                h = torch.sigmoid(v @ weights + c)
                if self.chains == "CD":
                    chain = torch.bernoulli(h)
                dreamt = torch.bernoulli(torch.sigmoid(chain @ weights.T + b))
                after = torch.sigmoid(dreamt @ weights + c)
                chain = torch.bernoulli(after)
                weights += RATE / BATCH * (v.T @ h - dreamt.T @ after)
                b += RATE * (v - dreamt).mean(0)
                c += RATE * (h - after).mean(0)
        return weights, b, c


class ScikitLearn:
    """``sklearn.neural_network.BernoulliRBM``: PCD with one chain for each row of a batch."""

    def train(self, x: Tensor, epochs: int) -> Parameters:
        from sklearn.neural_network import BernoulliRBM

        model = BernoulliRBM(
            HIDDEN, learning_rate=RATE, batch_size=BATCH, n_iter=epochs, random_state=0
        )
        model.fit(x.numpy())
        found = (model.components_.T, model.intercept_visible_, model.intercept_hidden_)
        W, b, c = (torch.from_numpy(np.ascontiguousarray(part)) for part in found)
        return W, b, c


class Learnergy:
    """``learnergy.models.bernoulli.RBM``: CD-1."""

    def __init__(self) -> None:
        from learnergy.models import bernoulli

        logging.disable(logging.CRITICAL)
        self.make = bernoulli.RBM

    def train(self, x: Tensor, epochs: int) -> Parameters:
        torch.manual_seed(0)
        model = self.make(VISIBLE, HIDDEN, steps=1, learning_rate=RATE)
        rows = torch.utils.data.TensorDataset(x, torch.zeros(len(x)))
        with contextlib.redirect_stdout(io.StringIO()):
            model.fit(rows, batch_size=BATCH, epochs=epochs)
        return model.W, model.a, model.b


class Rbms:
    """``rbms``: centred PCD (or CD), by the update of its own training loop."""

    def __init__(self, chains: str, device: str) -> None:
        from rbms.bernoulli_bernoulli.classes import BBRBM
        from rbms.training.pcd import fit_batch_pcd

        self.make, self.fit_batch = BBRBM, fit_batch_pcd
        self.chains, self.device = chains, device

    @torch.no_grad()
    def train(self, x: Tensor, epochs: int) -> Parameters:
        torch.manual_seed(0)
        x = x.to(self.device)
        model = self.make(*begun(self.device))
        optimiser = torch.optim.SGD(model.parameters(), lr=RATE, maximize=True)
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        ones = torch.ones(BATCH, device=self.device)
        chains = model.init_chains(BATCH)
        for _ in range(epochs):
            for rows in torch.randperm(len(x), device=self.device).split(BATCH):
                batch = (x[rows], ones[: len(rows)])
                if self.chains == "CD":
                    chains = model.init_chains(len(rows), weights=batch[1], start_v=batch[0])
                optimiser.zero_grad(set_to_none=False)
                chains, _ = self.fit_batch(batch, chains, model, gibbs_steps=1, beta=1.0)
                optimiser.step()
        return model.weight_matrix, model.vbias, model.hbias


class Products:
    """The five matrix products of a step of CD-1 or PCD-1 alone, results written in place."""

    def __init__(self, device: str, dtype: torch.dtype = torch.float32) -> None:
        self.v = (torch.rand(BATCH, VISIBLE, device=device) < 0.13).to(dtype)
        self.h = (torch.rand(BATCH, HIDDEN, device=device) < 0.2).to(dtype)
        self.weights = torch.randn(VISIBLE, HIDDEN, device=device).to(dtype)
        self.up, self.down = torch.empty_like(self.h), torch.empty_like(self.v)
        self.outer = torch.empty_like(self.weights)

    def train(self, x: Tensor, epochs: int) -> None:
        """As many steps as learning would take."""
        for _ in range(epochs * (len(x) // BATCH)):
            torch.mm(self.v, self.weights, out=self.up)
            torch.mm(self.h, self.weights.T, out=self.down)
            torch.mm(self.v, self.weights, out=self.up)
            torch.mm(self.v.T, self.h, out=self.outer)
            torch.mm(self.v.T, self.h, out=self.outer)


class Moved:
    """The same products, each of what the one before it made, on batches that are gathered.

    Both outer products are one, of all 200 rows, which is added to the weights.
    """

    def __init__(self, device: str) -> None:
        self.weights = 0.01 * torch.randn(VISIBLE, HIDDEN, device=device)
        self.h = (torch.rand(BATCH, HIDDEN, device=device) < 0.2).float()
        self.rows = torch.empty(2 * BATCH, VISIBLE, device=device)
        self.means = torch.empty(2 * BATCH, HIDDEN, device=device)
        self.gradient = torch.empty_like(self.weights)

    @torch.no_grad()
    def train(self, x: Tensor, epochs: int) -> None:
        """As many steps as learning would take."""
        x = x.to(self.weights.device)
        data, dreamt = self.rows.split(BATCH)
        first, last = self.means.split(BATCH)
        for _ in range(epochs):
            order = torch.randperm(len(x), device=x.device)
            for rows in order[: len(x) // BATCH * BATCH].split(BATCH):
                torch.index_select(x, 0, rows, out=data)
                torch.mm(data, self.weights, out=first)
                torch.mm(self.h, self.weights.T, out=dreamt)
                torch.mm(dreamt, self.weights, out=last)
                torch.mm(self.rows.T, self.means, out=self.gradient)
                self.weights.add_(self.gradient, alpha=1e-9)


ENTRIES: dict[str, Callable[[str], Any]] = {
    PRODUCTS: lambda device: Products(device),
    LOW: lambda device: Products(device, torch.bfloat16),
    MOVED: lambda device: Moved(device),
    "genus CD float32": lambda device: Genus("CD", "float32", device),
    "genus CD bf16": lambda device: Genus("CD", "bf16", device),
    "genus CD float32, compiled": lambda device: Genus("CD", "float32", device, compiled=True),
    "genus CD bf16, compiled": lambda device: Genus("CD", "bf16", device, compiled=True),
    "plain torch CD": lambda device: PlainTorch("CD", device),
    "rbms CD": lambda device: Rbms("CD", device),
    "learnergy CD": lambda device: Learnergy(),
    "genus PCD float32": lambda device: Genus("PCD", "float32", device),
    "genus PCD bf16": lambda device: Genus("PCD", "bf16", device),
    "genus PCD float32, compiled": lambda device: Genus("PCD", "float32", device, compiled=True),
    "genus PCD bf16, compiled": lambda device: Genus("PCD", "bf16", device, compiled=True),
    "plain torch PCD": lambda device: PlainTorch("PCD", device),
    "rbms PCD": lambda device: Rbms("PCD", device),
    "scikit-learn PCD": lambda device: ScikitLearn(),
}
CPU_ONLY = ("learnergy CD", "scikit-learn PCD")

"""Small networks, objectives and algorithms on which the engine is judged."""

import torch
from torch import nn

from genus import Binary, Real
from genus.engine import (
    Alternate,
    Budget,
    Descend,
    Known,
    KnowsGradient,
    Maximise,
    Optimiser,
    Player,
    Remembers,
    Stage,
    Stages,
    Tensors,
)

SIZE = 5


class Net(nn.Module):
    """Two layers with dropout and batch statistics, so that mode and draws matter."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.first = nn.Linear(SIZE, 7)
            self.norm = nn.BatchNorm1d(7)
            self.second = nn.Linear(7, SIZE)
        self.dropout = nn.Dropout(0.3)

    def straight(self, x):
        """Without draws and without looking at other rows."""
        return self.second(torch.tanh(self.first(x)))

    def forward(self, x):
        return self.second(self.dropout(torch.tanh(self.norm(self.first(x)))))


class Gaussian(nn.Module):
    """A mean and a log-variance: maximum likelihood has a closed form."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(SIZE))
        self.log_variance = nn.Parameter(torch.zeros(SIZE))

    def log_prob(self, x):
        distance = (x - self.mean) ** 2 / self.log_variance.exp()
        return -0.5 * (distance + self.log_variance + 1.8378770664093453).sum(1)


class Moments:
    def expect(self, model, batch):
        x = batch.x.double()
        return {
            "num_examples": torch.tensor(float(len(x)), dtype=torch.float64),
            "first": x.sum(0),
            "second": (x**2).sum(0),
            "log_likelihood": model.log_prob(batch.x).double().sum(),
        }

    def solve(self, model, totals):
        mean = totals["first"] / totals["num_examples"]
        variance = totals["second"] / totals["num_examples"] - mean**2
        # half a step, so that several rounds are needed
        model.mean.add_(0.5 * (mean - model.mean).float())
        model.log_variance.add_(0.5 * (variance.log() - model.log_variance).float())


def denoise(model, batch):
    noisy = batch.x + 0.1 * torch.randn_like(batch.x)
    loss = ((model(noisy) - batch.x) ** 2).mean()
    return {"loss": loss, "size": loss.detach() * 0 + len(batch.x)}


def plain(model, batch):
    """Without draws."""
    return {"loss": (model.straight(batch.x) - batch.x).square().mean()}


def likelihood(model, batch):
    return {"loss": -model.log_prob(batch.x).mean()}


class KnownLikelihood(KnowsGradient):
    """The likelihood of Gaussian, whose slopes are written out."""

    def start(self, model, batch_size):
        pass

    @torch.no_grad()
    def known(self, model, batch):
        away, width = batch.x - model.mean, model.log_variance.exp()
        mean = -(away / width).mean(0)
        log_variance = 0.5 * (1 - away.square() / width).mean(0)
        slopes = [(model.mean, mean), (model.log_variance, log_variance)]
        return Known({**likelihood(model, batch), "size": mean.norm()}, slopes)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Chains(Remembers):
    """Persistent chains: a memory whose rows are split among processes."""

    sharded = ("chains",)

    def start(self, model, batch_size):
        from genus.engine import distributed

        rows = torch.randn(batch_size, SIZE)
        self.chains = distributed.take_rows(rows)

    def __call__(self, model, batch):
        self.chains = 0.9 * self.chains + 0.1 * torch.tanh(model.second(model.first(self.chains)))
        self.chains = self.chains.detach()
        gap = model.first(batch.x).mean() - model.first(self.chains).mean()
        return {"loss": gap + plain(model, batch)["loss"]}

    def state_dict(self):
        return {"chains": self.chains}

    def load_state_dict(self, state):
        self.chains = state["chains"]


def data(n=50, seed=1):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(SIZE, SIZE, generator=generator)
    return Tensors(torch.randn(n, SIZE, generator=generator) @ mix + 1, Real((SIZE,)))


def bits(n=50):
    generator = torch.Generator().manual_seed(1)
    return Tensors((torch.rand(n, SIZE, generator=generator) < 0.3).float(), Binary((SIZE,)))


def critic():
    with torch.random.fork_rng():
        torch.manual_seed(6)
        return nn.Sequential(nn.Linear(SIZE, 4), nn.Tanh(), nn.Linear(4, 1))


def game(*, ema=0.9, batch_size=8, noise=0.1, net=lambda model, x: model(x)):
    judge = critic()

    def real_against_false(model, batch):
        false = net(model, batch.x)
        return {"loss": judge(false).mean() - judge(batch.x).mean()}

    def please(model, batch):
        return {"loss": -judge(net(model, batch.x + noise * torch.randn_like(batch.x))).mean()}

    return Alternate(
        [
            Player("critic", lambda model: judge, real_against_false, Optimiser(clip=1.0)),
            Player("net", lambda model: model, please, Optimiser("sgd", 0.05), every=2),
        ],
        scaffolding={"judge": judge},
        batch_size=batch_size,
        ema=ema,
    )


def stages():
    return Stages(
        [
            Stage(
                lambda model: model.first,
                Descend(
                    lambda part, batch: {"loss": part(batch.x).square().mean()},
                    Optimiser(schedule="cosine"),
                    batch_size=8,
                ),
                share=1.0,
            ),
            Stage(
                lambda model: model,
                Descend(Chains(), Optimiser(schedule="linear"), batch_size=8, ema=0.9),
                share=2.0,
                view=lambda model, batch: batch._replace(x=batch.x + model.first(batch.x).mean()),
            ),
        ]
    )


ALGORITHMS = {
    "descend": (
        Net,
        lambda: Descend(
            denoise,
            Optimiser(schedule="one-cycle", clip=0.5, weight_decay=0.01),
            batch_size=8,
            accumulation=2,
            ema=0.9,
        ),
    ),
    "momentum": (Net, lambda: Descend(denoise, Optimiser("sgd", schedule="linear"), batch_size=8)),
    "remembers": (Net, lambda: Descend(Chains(), batch_size=8)),
    "alternate": (Net, game),
    "maximise": (Gaussian, lambda: Maximise(Moments(), epochs=4, batch_size=8)),
    "stages": (Net, stages),
}

BUDGET = Budget(steps=20)

"""What learning owes: the same run every time, moving every parameter, towards the data."""

import tempfile
from itertools import pairwise
from pathlib import Path

import torch

from genus.engine import Budget, Callback, Info, Maximise, Run
from genus.engine import run as train
from genus.engine.callbacks import History
from genus.model import Model
from genus.testing.case import CPU, Case, Skipped
from genus.testing.checks.everyone import same_state
from genus.testing.statistics import energy_distance

__all__ = [
    "em_never_lowers_the_likelihood",
    "every_parameter_moves",
    "fit_is_repeatable",
    "fitting_moves_samples_to_the_data",
    "resume_equals_no_interruption",
]

STEPS, CUT = 8, 5


class _Killed(Exception):  # noqa: N818 - it is no error
    """Ends a run between two steps, as a power cut would."""


class _Cut(Callback):
    """Saves after a step and ends the run some steps later."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def after_step(self, run: Run, info: Info) -> None:
        if run.progress.step == CUT - 1:
            run.save(self.path)
        if run.progress.step == CUT:
            raise _Killed


def _trained(case: Case, *, cut: Path | None = None, resume: Path | None = None) -> Model:
    model = case.fresh()
    algorithm = case.learner(model)
    callbacks = [] if cut is None else [_Cut(cut)]
    train(
        model,
        case.source(model),
        algorithm,
        budget=Budget(steps=STEPS),
        seed=1,
        callbacks=callbacks,
        device=CPU,
        resume=resume,
    )
    return model


def resume_equals_no_interruption(case: Case) -> None:
    """A run that was cut and resumed ends with the same weights, bit for bit."""
    whole = _trained(case)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.safetensors"
        try:
            _trained(case, cut=path)
        except _Killed:
            resumed = _trained(case, resume=path)
        else:
            raise Skipped(f"the run ended before step {CUT}")
    same_state(dict(whole.state_dict()), dict(resumed.state_dict()), "resuming")


def every_parameter_moves(case: Case) -> None:
    """After a few steps of the default algorithm no parameter is what it was."""
    before = dict(case.fresh().named_parameters())
    after = dict(_trained(case).named_parameters())
    still = [
        name
        for name, value in after.items()
        if torch.equal(value, before[name]) and name not in case.unmoved
    ]
    assert not still, f"learning does not reach {', '.join(still)}"
    lost = [name for name, value in after.items() if not bool(torch.isfinite(value).all())]
    assert not lost, f"not finite after {STEPS} steps: {', '.join(lost)}"
    frozen = [name for name, value in after.items() if not value.requires_grad]
    assert not frozen, f"left without gradients: {', '.join(frozen)}"


def fit_is_repeatable(case: Case) -> None:
    """``fit`` with the same seed gives the same weights, whatever was drawn before.

    The model's own algorithm is made by ``fit`` itself, a critic's first weights included.
    """
    x, condition = case.train()
    models = []
    for draws in (0, 5):
        model = case.fresh()
        torch.rand(draws)
        before = torch.get_rng_state()
        given = model.fit(
            x,
            condition=condition,
            budget=Budget(steps=2),
            seed=4,
            device=CPU,
        )
        assert given is model, "fit does not return the model"
        assert not model.training, "fit left the model in training mode"
        assert torch.equal(before, torch.get_rng_state()), "fit moved the global generator"
        models.append(dict(model.state_dict()))
    same_state(models[0], models[1], "repeating fit")


def fitting_moves_samples_to_the_data(case: Case) -> None:
    """Training makes samples more like data that it has not seen, by the energy distance."""
    model = case.fresh()
    x, condition = case.held_out()
    n = min(len(x) * 3, 200)
    given = None if condition is None else condition[torch.arange(n) % len(condition)]
    before = energy_distance(model.sample(n, condition=given, seed=8), x)
    train(
        model,
        case.source(model),
        case.learner(model),
        budget=Budget(steps=case.steps),
        seed=2,
        device=CPU,
    )
    after = energy_distance(model.sample(n, condition=given, seed=8), x)
    assert after < 0.8 * before, (
        f"{case.steps} steps took the energy distance to held-out data from {before:.4g} "
        f"to {after:.4g}; at least a fifth of it should go (a larger learning rate, or more steps "
        "in the Case, where learning is slow but right)"
    )


def em_never_lowers_the_likelihood(case: Case) -> None:
    """The log-likelihood that each round of EM reports is at least that of the one before."""
    model = case.stiff()
    algorithm = case.learner(model)
    if not isinstance(algorithm, Maximise):
        raise Skipped("learns by gradients")
    history = History(every=1 << 30)
    budget = Budget(epochs=min(algorithm.epochs, 30))
    source = case.source(model)
    train(model, source, algorithm, budget=budget, callbacks=[history], device=CPU)
    values = [row["log_likelihood"] for row in history.rows]
    assert len(values) > 1, "a single round shows nothing"
    worst = min(b - a for a, b in pairwise(values))
    assert worst > -1e-5, f"the log-likelihood fell by {-worst:.3g} nats"

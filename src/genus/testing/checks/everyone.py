"""What every model owes: samples, seeds, checkpoints, errors."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from genus.model import Model
from genus.models.registry import load
from genus.testing.case import Case, Skipped

__all__ = [
    "answers_leave_the_model_alone",
    "bad_arguments_are_value_errors",
    "condition_matters",
    "refuses",
    "same_seed_same_samples",
    "same_state",
    "samples_lie_in_the_space",
    "saved_and_loaded_is_the_same",
]


def samples_lie_in_the_space(case: Case) -> None:
    """``sample(n)`` gives n points of the space, for one and for several."""
    for model in (case.fresh(), case.stiff()):
        for n in (1, 5):
            x = model.sample(n, condition=_some(case, n), seed=3)
            assert tuple(x.shape) == (n, *model.space.shape), f"shape {tuple(x.shape)}"
            assert model.space.contains(x), f"samples are not in {model.space}"
            wanted = model.example.dtype if model.space.dtype is None else model.space.dtype
            assert x.dtype == wanted, f"samples are {x.dtype}, expected {wanted}"
            assert not x.requires_grad, "samples carry gradients"


def same_seed_same_samples(case: Case) -> None:
    """A seed decides the samples; another seed gives others; the global generator stays."""
    model, condition = case.fresh(), _some(case, 6)
    before = torch.get_rng_state()
    first = model.sample(6, condition=condition, seed=11)
    assert torch.equal(before, torch.get_rng_state()), "a seeded sample moved the global generator"
    torch.rand(3)
    assert torch.equal(first, model.sample(6, condition=condition, seed=11)), "same seed, others"
    others = [model.sample(6, condition=condition, seed=seed) for seed in (12, 13, 14)]
    assert any(not torch.equal(first, other) for other in others), "the seed changes nothing"
    global_draws = [model.sample(6, condition=condition) for _ in range(4)]
    assert any(not torch.equal(global_draws[0], d) for d in global_draws[1:]), (
        "without a seed every call gives the same samples"
    )


def answers_leave_the_model_alone(case: Case) -> None:
    """Sampling changes no parameter, no buffer and no mode."""
    model = case.fresh().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.sample(3, condition=_some(case, 3), seed=0)
    assert model.training, "sample left the model in evaluation mode"
    same_state(before, model.state_dict(), "sampling")


def saved_and_loaded_is_the_same(case: Case) -> None:
    """``save`` and ``load`` give back class, constructor arguments, weights and samples."""
    model = case.stiff().float()
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        again = load(folder, cls=type(model))
    assert type(again) is type(model)
    assert again.config.keys() == model.config.keys(), "constructor arguments were lost"
    for name, value in model.config.items():
        assert _listed(again.config[name]) == _listed(value), f"{name} came back changed"
    same_state(dict(model.state_dict()), again.state_dict(), "saving and loading")
    samples = [m.sample(4, condition=_some(case, 4), seed=5) for m in (model, again)]
    assert torch.equal(*samples), "the loaded model samples differently"


def bad_arguments_are_value_errors(case: Case) -> None:
    """Impossible numbers of samples, misplaced conditions and unfit data raise ValueError."""
    model = case.fresh()
    for n in (0, -1, 2.5, "3", True):
        refuses(f"sample({n!r})", lambda n=n: model.sample(n))
    if model.condition is None:
        refuses("a condition that it has no use for", lambda: model.sample(2, condition=1))
    else:
        refuses("a missing condition", lambda: model.sample(2))
        given = _some(case, 3)
        refuses("3 conditions for 2 samples", lambda: model.sample(2, condition=given))
        refuses("training without labels", lambda: model.fit(case.data, epochs=1))
    for what, data in _bad_data(model, case.data).items():
        refuses(
            f"training on {what}",
            lambda d=data: model.fit(d, condition=case.condition, epochs=1),
        )


def condition_matters(case: Case) -> None:
    """Another condition gives other samples from the same seed."""
    if case.condition is None:
        raise Skipped("not conditional")
    model = case.stiff()
    values = case.condition.unique(dim=0)[:6]
    drawn = [model.sample(8, condition=value, seed=2) for value in values]
    assert any(not torch.equal(drawn[0], other) for other in drawn[1:]), "condition is ignored"


def refuses(what: str, call: object) -> None:
    """Fails where ``call`` does not raise ValueError."""
    try:
        call()  # type: ignore[operator]
    except ValueError as error:
        if not str(error):
            raise AssertionError(f"{what}: the error says nothing") from error
        return
    except Exception as error:
        raise AssertionError(f"{what} raises {type(error).__name__}, not ValueError") from error
    raise AssertionError(f"{what} is accepted in silence")


def same_state(before: dict[str, Tensor], after: dict[str, Tensor], what: str) -> None:
    """Fails where two states are not the same bit for bit."""
    assert before.keys() == after.keys(), f"{what} changed the names of parameters"
    for name, value in before.items():
        assert torch.equal(value, after[name]), f"{what} changed {name}"


def _bad_data(model: Model, x: Tensor) -> dict[str, Tensor]:
    """Data that no model of this space can take."""
    bad = {"data of another shape": torch.cat([x, x], dim=1)}
    flat = x.double()
    flat.view(-1)[1] = float("nan")
    bad["NaN"] = flat
    if model.space.dtype is not None:
        bad["values beyond the space"] = x.long() + 1000
    return bad


def _some(case: Case, n: int) -> Tensor | None:
    return None if case.condition is None else case.condition[:n]


def _listed(value: object) -> object:
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value

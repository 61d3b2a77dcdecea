"""The judge is judged: faults are found by the check that names them, alarms have their rate."""

import math

import pytest
import torch
from torch import nn

from genus import Binary, Categorical, Real
from genus.engine import Descend, Optimiser
from genus.model import Completes, Exact, Model
from genus.models import PPCA
from genus.testing import Case, check_class, find_cases, lopsided, run, stiffen
from genus.testing.statistics import energy_distance, g_test, z_test


class Honest(Exact, Completes):
    """Independent bits."""

    def __init__(self, space: Binary, rate: float):
        super().__init__()
        if not 0 < rate < 1:
            raise ValueError(f"rate must lie between 0 and 1, got {rate}")
        self.space = space
        self.odds = nn.Parameter(torch.full(space.shape, math.log(rate / (1 - rate))))

    def _log_prob(self, x, condition):
        return (x * self.odds - nn.functional.softplus(self.odds)).flatten(1).sum(1)

    def _sample(self, n, condition):
        return torch.bernoulli(self.odds.sigmoid().expand(n, *self.space.shape))

    def _complete(self, x, observed, condition):
        return self._sample(len(x), condition)

    def algorithm(self):
        objective = lambda model, batch: {"loss": -model._log_prob(batch.x, None).mean()}  # noqa: E731
        return Descend(objective, Optimiser(learning_rate=0.1), batch_size=30)


class Tilted(Honest):
    def _log_prob(self, x, condition):
        return (x * self.odds - nn.functional.softplus(-self.odds)).flatten(1).sum(1)


class Elsewhere(Honest):
    def _sample(self, n, condition):
        return torch.bernoulli((0.8 * self.odds).sigmoid().expand(n, *self.space.shape))


class Seeded(Honest):
    def _sample(self, n, condition):
        torch.manual_seed(0)
        return super()._sample(n, condition)


class Grey(Honest):
    def _sample(self, n, condition):
        return self.odds.sigmoid().expand(n, *self.space.shape).clone()


class Gossip(Honest):
    def _log_prob(self, x, condition):
        return super()._log_prob(x, condition) + x.mean()


class Unreached(Honest):
    def __init__(self, space: Binary, rate: float):
        super().__init__(space, rate)
        self.spare = nn.Parameter(torch.zeros(3))


class Forgetful(Honest):
    def __init__(self, space: Binary, rate: float):
        super().__init__(space, rate)
        self.turn = 0

    def algorithm(self):
        def objective(model, batch):
            self.turn += 1
            return {"loss": -self.turn * model._log_prob(batch.x, None).mean()}

        return Descend(objective, Optimiser("sgd", 0.01), batch_size=30)


class Backwards(Honest):
    def algorithm(self):
        algorithm = super().algorithm()
        objective = algorithm.objective
        algorithm.objective = lambda model, batch: {"loss": -objective(model, batch)["loss"]}
        return algorithm


class Deaf(Honest):
    def _complete(self, x, observed, condition):
        return torch.bernoulli(torch.full_like(x, 0.5))


FAULTS = {
    Tilted: "sums_to_one",
    Elsewhere: "samples_follow_log_prob",
    Seeded: "same_seed_same_samples",
    Grey: "samples_lie_in_the_space",
    Gossip: "rows_do_not_see_one_another",
    Unreached: "every_parameter_moves",
    Forgetful: "resume_equals_no_interruption",
    Backwards: "fitting_moves_samples_to_the_data",
    Deaf: "draws_follow_the_conditional",
}


def failures(cls):
    space = Binary((4,))
    case = Case(cls.__name__, lambda: cls(space, 0.3), lopsided(space), scale=3.0)
    return {result.check: result.reason for result in run(case) if result.status == "fail"}


def test_an_honest_model_passes():
    assert not failures(Honest)


@pytest.mark.parametrize("cls", FAULTS)
def test_each_fault_is_found_by_the_check_that_names_it(cls):
    assert FAULTS[cls] in failures(cls)


def test_a_class_is_checked_from_its_constructor():
    results = check_class(Honest)
    assert {r.status for r in results} == {"pass", "skip"}
    assert all(r.reason for r in results if r.status == "skip")
    assert any(r.status == "fail" for r in check_class(Tilted))
    assert not [r for r in check_class(PPCA) if r.status == "fail"]


def test_a_class_may_bring_its_own_cases():
    class Own(Honest):
        @staticmethod
        def cases():
            return [Case("own", lambda: Own(Binary((2, 3)), 0.2), lopsided(Binary((2, 3))))]

    assert [case.name for case in find_cases(Own)] == ["own"]
    assert {r.case for r in check_class(Own)} == {"own"}
    Own.cases = staticmethod(lambda: ["nonsense"])
    with pytest.raises(ValueError, match="must return"):
        find_cases(Own)


def test_what_cannot_be_checked_says_why():
    class Odd(Honest):
        def __init__(self, space: Binary, wishes: object):
            super().__init__(space, 0.5)

    with pytest.raises(ValueError, match=r"cannot guess argument 'wishes'.*cases\(\)"):
        check_class(Odd)
    with pytest.raises(ValueError, match=r"subclass of genus\.Model"):
        check_class(dict)
    with pytest.raises(ValueError, match="abstract"):
        check_class(Exact)

    class Broken(Honest):
        def __init__(self, space: Binary):
            raise ValueError("never")

    with pytest.raises(ValueError, match=r"cannot build a tiny Broken .*never"):
        check_class(Broken)


def test_a_model_that_cannot_be_made_is_one_failure():
    def make() -> Model:
        raise RuntimeError("out of luck")

    (result,) = run(Case("bad", make, torch.zeros(4, 2)))
    assert (result.status, result.check) == ("fail", "make")
    assert "out of luck" in result.reason


def test_skips_carry_their_reason():
    space = Binary((4,))
    case = Case("x", lambda: Tilted(space, 0.3), lopsided(space), skip={"sums_to_one": "known"})
    found = {r.check: r for r in run(case)}
    assert (found["sums_to_one"].status, found["sums_to_one"].reason) == ("skip", "known")


def test_g_test_alarms_at_its_rate_and_sees_a_difference():
    """Of 2000 true samples 1 % ± 0.67 % (3 σ) lie below p = 0.01.."""
    generator = torch.Generator().manual_seed(1)
    p = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05], dtype=torch.float64)
    draws = torch.multinomial(p.expand(2000, -1), 500, replacement=True, generator=generator)
    counts = torch.stack([torch.bincount(row, minlength=5) for row in draws])
    values = torch.tensor([g_test(row, p) for row in counts])
    assert 0.003 < float((values < 0.01).double().mean()) < 0.02
    assert float(values.mean()) == pytest.approx(0.5, abs=0.03)
    assert g_test(torch.tensor([400, 300, 150, 50, 100]), p) < 1e-6
    assert g_test(torch.tensor([10, 1]), torch.tensor([1.0, 0.0])) == 0.0
    with pytest.raises(ValueError, match="two cells"):
        g_test(torch.tensor([3, 0]), torch.tensor([0.5, 0.5]))


def test_z_test_and_energy_distance():
    assert z_test(1.96, 0.0, 1.0) == pytest.approx(0.05, abs=1e-3)
    assert z_test(3.0, 3.0, 0.0) == 1.0
    assert z_test(3.0, 2.0, 0.0) == 0.0
    x, y = torch.randn(400, 2), torch.randn(400, 2)
    assert abs(energy_distance(x, y)) < 0.05
    assert energy_distance(x, y + 1) > 0.3


def test_stiffen_is_deterministic_large_and_uneven():
    one, two = (stiffen(nn.Linear(50, 40), 3.0) for _ in range(2))
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, stiffen(nn.Linear(50, 40), 3.0, seed=1).weight)
    rows = one.weight.detach().square().sum(1).sqrt()
    assert float(rows[:10].mean()) * 2 < float(rows[-10:].mean())
    assert float(one.weight.detach().square().sum(1).mean().sqrt()) > 2


@pytest.mark.parametrize("space", [Binary((3,)), Categorical((2, 2), 4), Real((3,))], ids=str)
def test_lopsided_examples_lie_inside_and_have_no_symmetry(space):
    x = lopsided(space, 500)
    assert space.contains(x)
    assert torch.equal(x, lopsided(space, 500))
    means = x.double().flatten(1).mean(0)
    assert len(means.unique()) == len(means)

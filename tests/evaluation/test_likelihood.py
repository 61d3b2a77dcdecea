import math

import pytest
import torch
from torch import Tensor

from genus.data.dataset import Dataset
from genus.engine import Algorithm, Descend
from genus.evaluation.figure import mean_figure
from genus.evaluation.likelihood import bits_per_dim, likelihood
from genus.model import Bracket, Bracketed, Estimate, Estimated, Exact, LowerBound, Model
from genus.models import GAN, PPCA, RBM
from genus.spaces import Binary, Real, Space


class Uniform(Exact):
    """The uniform density on [0, 1]^D."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def algorithm(self) -> Algorithm:
        return Descend(lambda model, batch: {"loss": model.unused.sum()})

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        inside = ((x >= 0) & (x <= 1)).flatten(1).all(1)
        return torch.where(inside, 0.0, -math.inf)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return torch.rand(n, *self.space.shape)


class Bounded(LowerBound):
    """A bound that says how much effort reached it: −1/effort plus noise with mean zero."""

    effort = 4

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.unused = torch.nn.Parameter(torch.zeros(1))

    algorithm = Uniform.algorithm
    _sample = Uniform._sample

    def _lower_bound(self, x: Tensor, condition: Tensor | None, effort: int) -> Tensor:
        return torch.randn(len(x)) - 10.0 / effort


class Estimating(Estimate):
    """An estimate whose standard error all data share, as that of log Z is."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.unused = torch.nn.Parameter(torch.zeros(1))

    algorithm = Uniform.algorithm
    _sample = Uniform._sample

    def _estimate(self, x: Tensor, condition: Tensor | None, effort: int) -> Estimated:
        return Estimated(torch.full((len(x),), -3.0), torch.full((len(x),), 0.7))


class Torn(Estimating, Bracketed):
    """An estimate of −3 whose reverse is ``gap`` below, inside a bracket of ±1."""

    def __init__(self, space: Space, gap: float) -> None:
        super().__init__(space)
        self.gap = gap

    def _bracket(self, x: Tensor, condition: Tensor | None, effort: int) -> Bracket:
        error = torch.full((len(x),), 0.1)
        around = torch.full((len(x),), -3.0)
        return Bracket(
            Estimated(around - self.gap - 1, error),
            Estimated(around + 1, error),
            Estimated(around - self.gap, error),
        )


def test_the_sign_follows_from_the_type(points: Dataset) -> None:
    space = points.space
    models: dict[str, Model] = {
        "=": PPCA(Real((4,)), 2),
        ">=": Bounded(space),
        "~": Estimating(space),
    }
    for sign, model in models.items():
        found = likelihood(model, points)
        assert found is not None
        assert found.nats.sign == sign
    assert likelihood(GAN(Real((4,)), num_latent=2), points) is None


def test_ppca_equals_the_dense_gaussian_with_its_standard_error(points: Dataset) -> None:
    model = PPCA(Real((4,)), 2).fit(points.train).double()
    test = points.materialise("test").double()
    covariance = model.loadings @ model.loadings.T + model.variance * torch.eye(4)
    dense = torch.distributions.MultivariateNormal(model.mean, covariance).log_prob(test)
    found = likelihood(model, points, batch_size=7)
    assert found is not None
    assert found.nats.value == pytest.approx(float(dense.mean()), rel=1e-9)
    assert found.nats.standard_error == pytest.approx(float(dense.std()) / 600**0.5, rel=1e-6)
    assert found.bits_per_dim.value == pytest.approx(float(-dense.mean()) / (4 * math.log(2)))
    assert (found.kind, found.effort, found.nats.num_examples) == ("exact", None, 600)


def test_the_uniform_density_of_dequantised_levels_is_exactly_the_uniform_mass(
    stripes: Dataset,
) -> None:
    data = stripes.dequantised()
    found = likelihood(Uniform(data.space), data)
    assert found is not None
    assert found.nats.value == pytest.approx(-30 * math.log(16), rel=1e-12)
    assert found.bits_per_dim.value == pytest.approx(4.0, rel=1e-12)
    assert found.space == "16 levels, dequantised"
    assert "from below" in found.nats.note


def test_a_density_of_dequantised_data_bounds_the_mass_of_the_levels(stripes: Dataset) -> None:
    # p(level) of a factorised piecewise-constant density is known: the mean over u of the
    # corrected log density is at most its log
    data = stripes.dequantised()
    torch.manual_seed(0)
    model = PPCA(Real((1, 5, 6)), 3).fit(data.train).double()
    x = data.base.materialise("test", 4)
    levels = x.double().unsqueeze(1)
    u = torch.rand(4, 20_000, 1, 5, 6, dtype=torch.float64)
    densities = model.log_prob(((levels + u) / 16).flatten(0, 1)).reshape(4, -1)
    mass = densities.logsumexp(1) - math.log(20_000) + data.log_volume
    bound = densities.mean(1) + data.log_volume
    assert bool((bound <= mass).all())
    assert bool((mass < 0).all())


def test_effort_seed_and_time_are_as_stated(points: Dataset) -> None:
    model = Bounded(points.space)
    small, large = (likelihood(model, points, effort=e, seed=1) for e in (2, 50))
    assert small is not None
    assert large is not None
    assert large.nats.value - small.nats.value == pytest.approx(5.0 - 0.2)
    assert large.effort == 50
    again = likelihood(model, points, effort=50, seed=1)
    other = likelihood(model, points, effort=50, seed=2)
    assert again == large
    assert other is not None
    assert other.nats.value != large.nats.value
    hurried = likelihood(model, points, batch_size=10, seconds=0.0)
    assert hurried is not None
    assert hurried.nats.num_examples == 10
    assert hurried.bits_per_dim.sign == "<="


def test_the_shared_error_of_an_estimate_is_not_averaged_away(points: Dataset) -> None:
    found = likelihood(Estimating(points.space), points)
    assert found is not None
    assert found.nats.standard_error == pytest.approx(0.7)


def test_ais_and_its_reverse_bracket_the_enumerated_rbm(bits: Dataset) -> None:
    # 18 hidden units, beyond what the model sums by itself; each side strays past the truth
    # by more than 3 of its standard errors plus 0.1 nat less than once in 300 runs
    torch.manual_seed(1)
    model = RBM(Binary((20,)), 18, num_temperatures=300)
    with torch.no_grad():
        model.weights.copy_(torch.randn(20, 18) * 0.8)
        model.hidden_bias.copy_(torch.randn(18) - 1.0)
    truth = -model.free_energy(bits.materialise("test")).double() - model.log_partition_exact()
    found = likelihood(model, bits, effort=200)
    assert found is not None
    assert found.reverse is not None
    assert (found.nats.sign, found.kind, found.effort) == ("~", "estimate", 200)
    forward_error, reverse_error = found.nats.standard_error, found.reverse.standard_error
    assert forward_error is not None
    assert reverse_error is not None
    assert abs(found.nats.value - float(truth.mean())) < 3 * forward_error + 0.1
    assert found.reverse.value < float(truth.mean()) + 3 * reverse_error + 0.1
    assert abs(found.reverse.value - float(truth.mean())) < 2.0


def test_an_rbm_whose_partition_is_exact_needs_no_reverse(bits: Dataset) -> None:
    model = RBM(Binary((20,)), 5)
    with torch.no_grad():
        model.weights.copy_(torch.randn(20, 5, generator=torch.Generator().manual_seed(2)))
    found = likelihood(model, bits)
    assert found is not None
    assert found.reverse is None
    assert (found.nats.sign, found.bits_per_dim.sign, found.kind) == ("=", "=", "exact")
    assert found.effort is None
    truth = -model.free_energy(bits.materialise("test")).double() - model.log_partition_exact()
    assert found.nats.value == pytest.approx(float(truth.mean()), abs=1e-4)


def test_bits_turn_the_sign_of_a_bound() -> None:
    figure = mean_figure(torch.tensor([-8.0, -10.0]), ">=")
    bits = bits_per_dim(figure, 3)
    assert bits.sign == "<="
    assert bits.value == pytest.approx(3 / math.log(2))
    assert str(figure) == "≥ -9 ± 1"


def test_directions_that_disagree_are_told_aloud(points: Dataset) -> None:
    quiet = likelihood(Torn(points.space, 4.9), points, n=8)
    assert quiet is not None
    assert quiet.nats.note == ""
    with pytest.warns(
        UserWarning, match=r"estimate -3.00 and its reverse -8.10 nats are 5.1 apart"
    ):
        loud = likelihood(Torn(points.space, 5.1), points, n=8)
    assert loud is not None
    assert "neither can be trusted" in loud.nats.note
    assert loud.bits_per_dim.note == loud.nats.note
    assert loud.reverse is not None
    assert loud.bracket is not None
    assert [round(end.value, 4) for end in loud.bracket] == [-9.5, -1.6]
    assert [end.standard_error for end in loud.bracket] == [pytest.approx(0.1)] * 2


def test_batches_draw_the_same_chains_and_count_the_last_one_rightly(bits: Dataset) -> None:
    torch.manual_seed(1)
    model = RBM(Binary((20,)), 18, num_steps=50, num_temperatures=50)
    with torch.no_grad():
        model.weights.copy_(torch.randn(20, 18) * 0.5)
    whole, parts = (likelihood(model, bits, n=83, batch_size=b, effort=20) for b in (83, 8))
    assert whole is not None
    assert parts is not None
    assert parts.nats.num_examples == whole.nats.num_examples == 83
    assert parts.nats.value == pytest.approx(whole.nats.value, rel=1e-6)
    assert parts.nats.standard_error == pytest.approx(whole.nats.standard_error, rel=1e-5)
    assert whole.reverse is not None
    assert parts.reverse is not None
    assert parts.reverse.value == pytest.approx(whole.reverse.value, rel=1e-6)


class Bell(Uniform):
    """Independent normal densities about ``mean`` with deviation ``scale``."""

    def __init__(self, space: Space, mean: float, scale: float) -> None:
        super().__init__(space)
        self.mean, self.scale = mean, scale

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        normal = torch.distributions.Normal(self.mean, self.scale)
        return normal.log_prob(x.double()).flatten(1).sum(1)


def test_uniform_noise_over_256_levels_costs_8_bits(levels: Dataset) -> None:
    data = levels.dequantised()
    found = likelihood(Uniform(data.space), data)
    assert found is not None
    assert found.bits_per_dim.value == pytest.approx(8.0, rel=1e-14)
    assert found.nats.value == pytest.approx(-6 * math.log(256), rel=1e-14)


def test_a_dequantised_bell_stays_below_its_mass_by_quadrature(levels: Dataset) -> None:
    data, mean, scale = levels.dequantised(), 120.5 / 256, 40 / 256
    found = likelihood(Bell(data.space, mean, scale), data)
    x = levels.materialise("test").double()
    # ∫ p((x + u)/256) du/256 by the midpoints of 200 pieces of each level
    u = (torch.arange(200).double() + 0.5) / 200
    density = torch.distributions.Normal(mean, scale).log_prob((x.unsqueeze(-1) + u) / 256)
    mass = (density.exp().mean(-1) / 256).log().flatten(1).sum(1).mean()
    average = (density.mean(-1) - math.log(256)).flatten(1).sum(1).mean()
    assert found is not None
    assert float(average) < float(mass)
    # one draw of u for each of 7,200 entries: its slope z/40 leaves an error of 0.0005 nats
    assert found.nats.value == pytest.approx(float(average), abs=0.003)


def test_scaling_by_256_is_corrected_by_d_log_256(levels: Dataset) -> None:
    data = levels.dequantised()
    small = likelihood(Bell(data.space, 0.4, 0.2), data)
    y = data.materialise("test").double() * 256
    large = Bell(data.space, 0.4 * 256, 0.2 * 256).log_prob(y).mean()
    assert small is not None
    assert small.nats.value == pytest.approx(float(large), rel=1e-7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n must be a positive integer, got 0"),
        ({"n": 2.5}, "n must be a positive integer"),
        ({"effort": 0}, "effort must be a positive integer, got 0"),
        ({"batch_size": -1}, "batch_size must be a positive integer, got -1"),
        ({"seconds": math.nan}, "seconds must be at least 0, got nan"),
        ({"seconds": -1.0}, "seconds must be at least 0"),
    ],
)
def test_arguments_out_of_range_are_refused(points, settings, message) -> None:  # type: ignore[no-untyped-def]
    for model in (PPCA(Real((4,)), 2), Bounded(points.space)):
        with pytest.raises(ValueError, match=message):
            likelihood(model, points, **settings)


def test_a_broken_model_is_told_and_no_figure_is_nan(points: Dataset) -> None:
    model = PPCA(Real((4,)), 2)
    with torch.no_grad():
        model.mean[1] = math.nan
    with pytest.raises(ValueError, match="log p is NaN for 9 of 9 examples"):
        likelihood(model, points, n=9)


def test_progress_is_told_after_each_batch(points: Dataset) -> None:
    told: list[tuple[int, int]] = []
    likelihood(PPCA(Real((4,)), 2), points, n=23, batch_size=10, progress=lambda *p: told.append(p))
    assert told == [(10, 23), (20, 23), (23, 23)]

import pytest
import torch

from genus import spaces
from genus.engine import Batch, Budget, Progress
from genus.engine.batches import Tensors
from genus.engine.loop import Callback, Run, run
from genus.models.implicit import GAN
from genus.models.implicit.critic import Critic
from genus.objectives.adversarial import Hinge, NonSaturating, Relativistic
from genus.testing.statistics import assert_mean

LABELS = spaces.Categorical((), 3)
CASES = [
    (spaces.Real((5,)), "mlp"),
    (spaces.Pixels((2, 3), 7), "mlp"),
    (spaces.Binary((5,)), "mlp"),
    (spaces.Real((3, 8, 4)), "dcgan"),
    (spaces.Pixels((1, 9, 6)), "dcgan"),
    (spaces.Binary((1, 5, 8)), "dcgan"),
]


def small(space, architecture="mlp", *, condition=None, **settings) -> GAN:
    torch.manual_seed(0)
    return GAN(space, 3, architecture=architecture, hidden=(9, 6), condition=condition, **settings)


@pytest.mark.parametrize("condition", [None, LABELS])
@pytest.mark.parametrize(("space", "architecture"), CASES)
def test_samples_lie_in_the_space_and_learning_moves_everything(space, architecture, condition):
    model = small(space, architecture, condition=condition)
    given = None if condition is None else 2
    assert space.contains(model.sample(7, condition=given, seed=0))
    labels = None if condition is None else torch.arange(12) % 3
    algorithm = model.algorithm(gamma=0.3, noise=0.1, ema=None)
    algorithm.start(model.train())
    before = {k: v.clone() for k, v in model.named_parameters()}
    critic = algorithm.scaffolding["critic"]
    former = {k: v.clone() for k, v in critic.named_parameters()}
    info = algorithm.step(Batch(space.random(12), labels), Progress())
    assert all(torch.isfinite(value) for value in info.values())
    assert {"loss", "critic_loss", "critic_penalty", "generator_loss"} <= set(info)
    assert all(not torch.equal(v, before[k]) for k, v in model.named_parameters())
    assert all(not torch.equal(v, former[k]) for k, v in critic.named_parameters())


def test_decode_is_differentiable_and_in_the_units_of_the_space():
    z = torch.randn(4, 3, requires_grad=True)
    for space, low, high in [
        (spaces.Binary((5,)), 0.0, 1.0),
        (spaces.Pixels((5,), 200), 0.0, 199.0),
        (spaces.Real((5,)), -torch.inf, torch.inf),
    ]:
        model = small(space)
        with torch.no_grad():
            model.generator[-1].weight.mul_(50)
        x = model.decode(z)
        assert ((x >= low) & (x <= high)).all()
        (gradient,) = torch.autograd.grad(x.sum(), z)
        assert gradient.abs().sum() > 0
    assert x.abs().max() > 3


def test_pixels_are_the_nearest_levels():
    model = small(spaces.Pixels((2, 3), 7))
    with torch.no_grad():
        model.generator[-1].weight.mul_(5)
    z = model.prior(50, seed=4)
    assert torch.equal(model.sample(50, seed=4), model.decode(z).round().to(torch.uint8))


def test_binary_samples_are_tossed_with_the_decoded_probability():
    model = small(spaces.Binary((4,)))
    with torch.no_grad():
        model.generator[-1].weight.zero_()
        model.generator[-1].bias.copy_(torch.tensor([-1.5, 0.0, 0.4, 2.0]))
    probabilities = model.decode(model.prior(1))[0]
    draws = model.sample(40_000, seed=0)
    for column, probability in zip(draws.T, probabilities, strict=True):
        assert_mean(column, probability.item(), "frequency of ones")


def test_the_critic_sees_tosses_and_the_gradient_passes_through():
    model = small(spaces.Binary((4,)))
    torch.manual_seed(1)
    fakes = model._fakes(6, None)
    assert torch.allclose(fakes.abs(), torch.ones_like(fakes), atol=1e-6)
    direction = torch.randn(6, 4)
    parameters = list(model.parameters())
    through = torch.autograd.grad((fakes * direction).sum(), parameters)
    torch.manual_seed(1)
    means = model._output(model._prior(6), None)
    plain = torch.autograd.grad((means * direction).sum(), parameters)
    assert all(torch.equal(a, b) for a, b in zip(through, plain, strict=True))


def test_rows_are_independent_in_evaluation():
    model = small(spaces.Real((1, 8, 4)), "dcgan")
    z = model.prior(5, seed=0)
    assert torch.allclose(model.decode(z)[2:3], model.decode(z[2:3]), atol=1e-6)


def test_output_range():
    z = torch.randn(50, 3)
    for output_range, bounded in (("tanh", True), ("linear", False), ("default", False)):
        model = small(spaces.Real((5,)), output_range=output_range)
        with torch.no_grad():
            model.generator[-1].weight.mul_(100)
        assert (model.decode(z).abs().max() <= 1) == bounded


@pytest.mark.parametrize("architecture", ["mlp", "dcgan"])
def test_the_projection_is_linear_in_the_indicator(architecture):
    """s(x, c) − s(x, c') = φ(x)·(e_c − e_c'), by hand."""
    torch.manual_seed(0)
    space = spaces.Real((2, 8, 4))
    critic = Critic(space, architecture, (6, 9), LABELS).double()
    x = torch.randn(5, 2, 8, 4, dtype=torch.float64)
    scores = [critic(x, torch.full((5,), c)) for c in (0, 2)]
    embedding = critic.projection.weight
    expected = critic.body(x) @ (embedding[:, 0] - embedding[:, 2])
    assert torch.allclose(scores[0] - scores[1], expected, atol=1e-12)


@pytest.mark.parametrize("architecture", ["mlp", "dcgan"])
def test_the_critic_judges_rows_alone(architecture):
    torch.manual_seed(0)
    critic = Critic(spaces.Real((2, 8, 4)), architecture, (6, 9)).train()
    x = torch.randn(5, 2, 8, 4)
    assert torch.allclose(critic(x, None)[3:4], critic(x[3:4], None), atol=1e-6)


class Keep(Callback):
    """Saves a run at one step."""

    every = 1

    def __init__(self, step, path):
        self.step, self.path = step, path

    def after_step(self, run: Run, info):
        if run.progress.step == self.step:
            run.save(self.path)


@pytest.mark.parametrize(
    ("space", "architecture"), [(spaces.Binary((1, 8, 6)), "dcgan"), (spaces.Real((3,)), "mlp")]
)
def test_a_resumed_game_equals_the_uninterrupted_one(tmp_path, space, architecture):
    torch.manual_seed(3)
    data = Tensors(space.random(64), space)

    def play(**settings):
        model = small(space, architecture)
        algorithm = model.algorithm(gamma=0.2, noise=0.05, batch_size=16)
        run(model, data, algorithm, budget=Budget(steps=7), seed=1, device="cpu", **settings)
        return {**model.state_dict(), **algorithm.scaffolding.state_dict()}

    path = tmp_path / "state.safetensors"
    whole = play(callbacks=[Keep(4, path)])
    torch.manual_seed(99)
    resumed = play(resume=path)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


MIXTURE = torch.tensor([[-2.0, 0.5], [1.0, 2.0], [1.5, -1.5]])


def mixture(n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    which = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), n, True, generator=generator)
    return MIXTURE[which] + 0.1 * torch.randn(n, 2, generator=generator)


@pytest.mark.parametrize(
    ("loss", "gamma"),
    [
        (NonSaturating(), 3.0),
        pytest.param(Relativistic(), 3.0, marks=pytest.mark.slow),
        pytest.param(Hinge(), 3.0, marks=pytest.mark.slow),
    ],
)
def test_the_game_finds_the_shares_of_a_mixture(loss, gamma):
    torch.manual_seed(0)
    model = GAN(spaces.Real((2,)), 4, hidden=(32, 32))
    algorithm = model.algorithm(loss=loss, gamma=gamma, learning_rate=3e-3, batch_size=128)
    model.fit(mixture(4000), algorithm=algorithm, budget=Budget(steps=500), device="cpu")
    near, which = torch.cdist(model.sample(2000, seed=0), MIXTURE).min(1)
    shares = torch.bincount(which, minlength=3) / 2000
    assert (near < 0.5).float().mean() > 0.6
    assert ((shares - torch.tensor([0.5, 0.3, 0.2])).abs() < 0.1).all()


def test_labels_choose_the_mode():
    torch.manual_seed(0)
    labels = torch.arange(3000) % 3
    x = MIXTURE[labels] + 0.1 * torch.randn(3000, 2)
    model = GAN(spaces.Real((2,)), 4, hidden=(32, 32), condition=LABELS)
    algorithm = model.algorithm(learning_rate=2e-3, batch_size=128)
    model.fit(x, condition=labels, algorithm=algorithm, budget=Budget(steps=300), device="cpu")
    for label in range(3):
        draws = model.sample(300, condition=label, seed=0)
        assert (draws.mean(0) - MIXTURE[label]).norm() < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": spaces.Categorical((4,), 3)}, "needs data on a line"),
        ({"num_latent": 0}, "num_latent must be at least 1, got 0"),
        ({"architecture": "conv"}, "architecture must be one of"),
        ({"architecture": "dcgan"}, "shape must be"),
        ({"hidden": ()}, "hidden must hold positive integers"),
        ({"output_range": "linear"}, "needs a Real space"),
        ({"output_range": "sigmoid"}, "output_range must be"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GAN(**{"space": spaces.Binary((6,)), **arguments})

import pytest
import torch

from genus.evaluation.kernel_distance import kernel_distance, kernel_figure


def draws(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def by_definition(x: torch.Tensor, y: torch.Tensor) -> float:
    def mean(a: torch.Tensor, b: torch.Tensor, same: bool) -> float:
        kernels = [
            (float(u @ v) / len(u) + 1) ** 3
            for i, u in enumerate(a.double())
            for j, v in enumerate(b.double())
            if not (same and i == j)
        ]
        return sum(kernels) / len(kernels)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("block", [1, 5, 1000])
def test_equals_the_definition_pair_by_pair(block: int) -> None:
    x, y = draws(13, 4, 0) + 1, 2 * draws(9, 4, 1)
    assert kernel_distance(x, y, block=block) == pytest.approx(by_definition(x, y), rel=1e-9)
    assert kernel_figure(x, y, block=block).value == pytest.approx(by_definition(x, y), rel=1e-9)


def test_agrees_with_torchmetrics() -> None:
    kid = pytest.importorskip(
        "torchmetrics.image.kid", reason="torchmetrics is not installed: pip install torchmetrics"
    )
    x, y = draws(300, 16, 2), 1.1 * draws(300, 16, 3)
    theirs = float(kid.poly_mmd(x.double(), y.double()))
    assert kernel_distance(x, y) == pytest.approx(theirs, rel=1e-3)


def test_the_mean_is_zero_on_equal_distributions_at_any_size() -> None:
    # 400 pairs of sets: the mean lies beyond 4 standard errors once in 15,000 runs
    for n, m in ((20, 20), (40, 15)):
        values = torch.tensor(
            [kernel_distance(draws(n, 3, i), draws(m, 3, 10_000 + i)) for i in range(400)]
        )
        assert abs(float(values.mean())) < 4 * float(values.std()) / 400**0.5


@pytest.mark.parametrize(("shift", "least", "most"), [(1.0, 0.75, 1.35), (0.0, 0.9, 2.0)])
def test_the_error_is_that_of_fresh_sets(shift: float, least: float, most: float) -> None:
    figures = [
        kernel_figure(draws(80, 3, i) + shift, draws(120, 3, 10_000 + i)) for i in range(150)
    ]
    spread = float(torch.tensor([figure.value for figure in figures]).std())
    stated = sum(figure.standard_error or 0.0 for figure in figures) / len(figures)
    assert least < stated / spread < most
    for figure in figures:
        assert figure.interval is not None
        assert figure.interval[0] < figure.value < figure.interval[1]


def test_a_constant_set_has_a_value() -> None:
    figure = kernel_figure(torch.ones(10, 4), torch.zeros(12, 4))
    assert figure.value == pytest.approx(8 + 1 - 2)
    assert figure.standard_error == 0.0
    assert "the same" in figure.note


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        kernel_distance(draws(1, 3, 0), draws(5, 3, 1))
    with pytest.raises(ValueError, match="same feature network"):
        kernel_distance(draws(6, 4, 0), draws(5, 3, 1))
    with pytest.raises(ValueError, match="NaN"):
        kernel_figure(draws(6, 3, 0) * float("nan"), draws(5, 3, 1))

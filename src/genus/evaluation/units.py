"""One unit for all views of a data set, so that a binary and a 256-level model can be compared.

Pictures lie on [0, 1], black to white, whatever the space of the model; other numeric data
stay in the unit of the data set. Unordered categories have no unit.
"""

from torch import Tensor

from genus.data import Dataset
from genus.spaces import Categorical, Numeric

__all__ = ["has_units", "mean_datum", "samples_to_units", "to_units"]


def has_units(data: Dataset) -> bool:
    """Whether differences between data mean something: false for unordered categories."""
    return isinstance(data.space, Numeric)


def to_units(data: Dataset, x: Tensor) -> Tensor:
    """A batch of the view (data, samples or means) in the unit of the data set, as float32.

    Levels 0 … L − 1 are laid evenly on [0, 1]; a dequantised (x + u)/L loses its mean offset
    and is laid alike; pictures of reals are rendered from black to white; other reals stay as
    they are.

    Args:
        data: the view that ``x`` belongs to.
        x: shape ``(n, *data.space.shape)``; means between the levels are welcome.

    Raises:
        ValueError: for a space without units.
    """
    if not isinstance(data.space, Numeric):
        raise ValueError(f"{data.space} has no unit in which errors could be measured")
    values = x.detach().cpu().float()
    if data.space.levels is not None:
        return (values / (data.space.levels - 1)).clamp(0, 1)
    levels = _base_levels(data)
    if levels is None:
        return _rendered(data, x) if data.kind == "image" else values
    return ((values * levels - 0.5) / (levels - 1)).clamp(0, 1)


def samples_to_units(data: Dataset, samples: Tensor) -> Tensor:
    """Draws of a model in the unit of the data set: first mapped back to what data can be."""
    return to_units(data.base, data.to_data(samples.cpu()))


def mean_datum(data: Dataset, n: int = 5000) -> Tensor:
    """The mean training datum in the unit of the data set, shape ``data.space.shape``."""
    return to_units(data, data.materialise("train", min(n, data.train.num_examples))).mean(0)


def _base_levels(data: Dataset) -> int | None:
    """The number of levels behind a dequantised view, None where there is none."""
    if data.log_volume == 0.0:
        return None
    space = data.base.space
    return (
        space.levels if isinstance(space, Numeric) and not isinstance(space, Categorical) else None
    )


def _rendered(data: Dataset, x: Tensor) -> Tensor:
    """Pictures of reals, black to white, shape ``(n, channel, height, width)``."""
    shown = data.render(x)
    if shown is None:
        return x.detach().cpu().float()
    colours = shown.unsqueeze(1) if shown.ndim == 3 else shown.permute(0, 3, 1, 2)
    return colours.float() / 255

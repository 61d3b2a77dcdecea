"""Which data suit which recipe, and what to do where they do not."""

from genus.data import Dataset
from genus.spaces import Binary, Numeric, Real

__all__ = [
    "need_binary",
    "need_discrete",
    "need_images",
    "need_labels",
    "need_numeric",
    "need_real",
]

_LABELS = {
    "image": "put images of each class into a sub-folder, or give --load labels=FILE.npy for an "
    "array",
    "table": "give --load label_column=NAME for a table, or --load labels=FILE.npy for an array",
    "audio": "put recordings of each class into a sub-folder",
    "text": "and text carries none; take a recipe without labels",
}


def need_real(data: Dataset, recipe: str) -> tuple[Dataset, Real]:
    """The data as real numbers, and their space: levels are dequantised with uniform noise.

    Raises:
        ValueError: where the data are categories without order.
    """
    real = data.dequantised() if isinstance(data.space, Numeric) else data
    if isinstance(real.space, Real):
        return real, real.space
    _refuse_text(data, recipe)
    raise ValueError(f"{recipe} needs numbers, but {data.name} lies in {data.space}")


def need_binary(data: Dataset, recipe: str) -> Binary:
    """The space of data whose entries are 0 or 1.

    Raises:
        ValueError: where they are not; says which view would help.
    """
    if isinstance(data.space, Binary):
        return data.space
    _refuse_text(data, recipe)
    help_ = "choose --view binary" if data.kind == "image" else "binarise the data"
    raise ValueError(f"{recipe} needs binary data, but {data.name} lies in {data.space}; {help_}")


def need_discrete(data: Dataset, recipe: str) -> None:
    """Raises ValueError where the entries are real numbers."""
    if isinstance(data.space, Real):
        raise ValueError(
            f"{recipe} needs entries with finitely many values, but {data.name} lies in "
            f"{data.space}; for real data take ppca, vae or a diffusion recipe"
        )


def need_numeric(data: Dataset, recipe: str) -> Numeric:
    """The space of data whose entries lie on a line.

    Raises:
        ValueError: where they are categories.
    """
    if isinstance(data.space, Numeric):
        return data.space
    _refuse_text(data, recipe)
    raise ValueError(
        f"{recipe} needs numbers or pictures, but {data.name} lies in {data.space}; "
        "for categories take made or vae"
    )


def need_images(data: Dataset, recipe: str, *, least: int = 1) -> None:
    """Raises ValueError where the data are no images, or one side is below ``least``."""
    _refuse_text(data, recipe)
    shape = data.space.shape
    if not isinstance(data.space, Numeric) or len(shape) != 3:
        raise ValueError(f"{recipe} needs images, but {data.name} lies in {data.space}")
    if min(shape[1:]) < least:
        raise ValueError(
            f"{recipe} needs images of at least {least}×{least}; {data.name} has "
            f"{shape[1]}×{shape[2]}"
        )


def need_labels(data: Dataset, recipe: str) -> Dataset:
    """The data with their labels as condition.

    Raises:
        ValueError: where they have none.
    """
    if data.train.condition is not None:
        return data
    if not data.num_classes:
        raise ValueError(
            f"{recipe} is conditional, but the labels of {data.name} are missing; "
            f"{_LABELS.get(data.kind, _LABELS['table'])}"
        )
    return data.conditional()


def _refuse_text(data: Dataset, recipe: str) -> None:
    """Only recipes for categories learn characters."""
    if data.kind == "text":
        raise ValueError(f"{recipe} takes no text yet; for text take made or vae")

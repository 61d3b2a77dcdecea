"""Tables of numbers: CSV files."""

import csv
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genus.data.dataset import Dataset, Part, Parts
from genus.data.splits import shuffled
from genus.data.stores import InMemory
from genus.spaces import Real

__all__ = ["csv_file"]

DELIMITERS = ",;\t"


def csv_file(
    path: str | Path,
    *,
    label_column: str | int | None = None,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    standardise: bool = False,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> Dataset:
    """A table with one example a row, over Real.

    Args:
        path: the file; separated by commas, semicolons or tabs, as its first line shows.
        label_column: name or number (from 0) of the column of labels, which may be text.
        columns: names of the columns to use; by default all but the labels.
        header: whether the first line names the columns; by default it does where none of its
            cells is a number.
        standardise: subtract the mean and divide by the standard deviation of the training
            rows, column by column; log densities are then those of the standardised numbers.
        valid_fraction: share of rows for validation.
        test_fraction: share of rows for testing.

    Raises:
        ValueError: where a cell is no finite number; names its row and column.
    """
    table = _table(Path(path), header)
    label = None if label_column is None else table.find(label_column, "label_column")
    wanted = [i for i in range(len(table.names)) if i != label]
    if columns is not None:
        wanted = [table.find(name, "columns") for name in columns]
    if not wanted:
        raise ValueError(f"{path} has no column beside {label_column!r}; data need at least one")
    x, raw_labels = table.read(wanted, label)
    y, class_names = _classes(raw_labels)
    rows = shuffled(len(x), valid_fraction=valid_fraction, test_fraction=test_fraction)
    if standardise:
        x = _standardised(x, rows[0], [table.names[i] for i in wanted])
    values = x.float()
    return Dataset(
        name=Path(path).stem,
        kind="points" if len(wanted) == 2 else "table",
        stored_space=Real((len(wanted),)),
        parts=Parts(
            *(Part(InMemory(values[part]), None if y is None else y[part]) for part in rows)
        ),
        class_names=class_names,
        licence="the owner's",
        origin=str(path),
        split_rule=f"{valid_fraction:.0%} valid and {test_fraction:.0%} test by one fixed "
        "permutation",
    )


@dataclass(frozen=True)
class Table:
    """A file whose layout is known.

    Attributes:
        path: of the file.
        delimiter: between cells.
        names: of the columns; their numbers where the file names none.
        has_header: whether the first line names the columns.
    """

    path: Path
    delimiter: str
    names: tuple[str, ...]
    has_header: bool

    def find(self, column: str | int, argument: str) -> int:
        """The number of a column.

        Raises:
            ValueError: where there is no such column.
        """
        if isinstance(column, int) and -len(self.names) <= column < len(self.names):
            return column % len(self.names)
        if column in self.names:
            return self.names.index(str(column))
        raise ValueError(
            f"{argument} names no column: {self.path} has {', '.join(self.names)}, got {column!r}"
        )

    def read(self, wanted: list[int], label: int | None) -> tuple[Tensor, np.ndarray | None]:
        """The wanted columns in float64, and the labels as text."""
        try:
            x = self._load(wanted, np.float64)
            if not len(x):
                raise ValueError("it has no rows below its header")
            labels = None if label is None else self._load([label], np.str_)[:, 0]
        except (ValueError, IndexError) as error:
            raise ValueError(self._fault(wanted) or f"cannot read {self.path}: {error}") from error
        if not np.isfinite(x).all():
            raise ValueError(self._fault(wanted) or f"{self.path} has values that are not finite")
        return torch.from_numpy(x), labels

    def _load(self, columns: list[int], dtype: type) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty table is an error, raised in read
            return np.loadtxt(
                self.path,
                dtype=dtype,
                delimiter=self.delimiter,
                skiprows=int(self.has_header),
                usecols=columns,
                comments=None,
                quotechar='"',
                ndmin=2,
                encoding="utf-8-sig",
            )

    def _fault(self, wanted: list[int]) -> str | None:
        """The first cell that is no finite number, in words."""
        for line, cells in _lines(self.path, self.delimiter):
            if (self.has_header and line == 1) or not cells:
                continue
            if len(cells) != len(self.names):
                return (
                    f"{self.path}, row {line}: expected {len(self.names)} cells, got {len(cells)}"
                )
            for column in wanted:
                cell = cells[column].strip()
                if not cell or not math.isfinite(_number(cell) or 0.0):
                    found = f"holds {cell!r}" if cell else "is empty"
                    return self._cell(line, column) + f" {found}; fill it or drop the row"
                if _number(cell) is None:
                    return (
                        self._cell(line, column) + f" holds the text {cell!r} where a number is "
                        f"expected; mend it, or give --load label_column={self.names[column]} "
                        f"(in Python label_column={self.names[column]!r}) where it is the label"
                    )
        return None

    def _cell(self, line: int, column: int) -> str:
        return f"{self.path}, row {line}, column {self.names[column]!r}"


def _table(path: Path, header: bool | None) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if not first.strip():
        raise ValueError(f"{path} is empty or begins with an empty line; expected a table")
    delimiter = max(DELIMITERS, key=first.count)
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]
    if header is None:
        header = all(_number(cell) is None for cell in cells)
    names = tuple(cells) if header else tuple(str(number) for number in range(len(cells)))
    return Table(path, delimiter, names, header)


def _lines(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            yield reader.line_num, cells


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _classes(labels: np.ndarray | None) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels numbered in the order of their names, numbers in the order of their values."""
    if labels is None:
        return None, ()
    names = sorted({str(name).strip() for name in labels})
    if all(_number(name) is not None for name in names):
        names.sort(key=float)
    numbers = {name: number for number, name in enumerate(names)}
    return torch.tensor([numbers[str(name).strip()] for name in labels]), tuple(names)


def _standardised(x: Tensor, train: Tensor, names: list[str]) -> Tensor:
    mean, deviation = x[train].mean(0), x[train].std(0, correction=0)
    constant = (deviation == 0).nonzero().flatten().tolist()
    if constant:
        raise ValueError(
            f"column {names[constant[0]]!r} is constant in the training rows and cannot be "
            "standardised; leave it out with --load columns=... (in Python columns=...), or give "
            "--load standardise=no (in Python standardise=False)"
        )
    return (x - mean) / deviation

"""Fully connected networks whose outputs see only earlier inputs (Germain et al. 2015)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MaskedNetwork", "MaskedWalk"]


class MaskedNetwork(nn.Module):
    """Output d depends on the inputs that come before entry d in an order, and on no other.

    Every order has positions 0 … D−1 of the entries and a degree m for each hidden unit, which
    sees the entries at positions up to m. The output at position p sees units of degree below p.
    Weights are shared among the orders. The positions of the first order are the natural ones;
    those of the others, and all degrees, follow from ``mask_seed``.

    Args:
        num_entries: D.
        num_features: numbers that stand for an entry at the input.
        num_parameters: numbers for each entry at the output.
        hidden: widths of the hidden layers.
        num_orders: how many orders there are.
        num_given: size of a condition that every layer sees, 0 for none.
        direct: whether earlier inputs also reach the outputs without a hidden layer.
        mask_seed: of orders and degrees.
    """

    positions: Int[Tensor, "order entry"]

    def __init__(
        self,
        num_entries: int,
        num_features: int,
        num_parameters: int,
        hidden: tuple[int, ...],
        *,
        num_orders: int = 1,
        num_given: int = 0,
        direct: bool = True,
        mask_seed: int = 0,
    ) -> None:
        super().__init__()
        self.num_entries, self.num_features = num_entries, num_features
        self.num_parameters, self.num_orders = num_parameters, num_orders
        sizes = (num_entries * num_features, *hidden)
        num_outputs = num_entries * num_parameters
        self.hidden = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
        self.output = nn.Linear(sizes[-1], num_outputs)
        self.direct = nn.Linear(sizes[0], num_outputs, bias=False) if direct else None
        widths = (*hidden, num_outputs) if num_given else ()
        self.given = nn.ModuleList(nn.Linear(num_given, width, bias=False) for width in widths)
        orders = [natural_order(num_entries, hidden, mask_seed)]
        orders += [random_order(num_entries, hidden, mask_seed + k) for k in range(1, num_orders)]
        self.register_buffer("positions", torch.stack([order[0] for order in orders]))
        for level in range(len(hidden)):
            degrees = torch.stack([order[1][level] for order in orders])
            self.register_buffer(f"degrees_{level}", degrees)

    def degrees(self, level: int) -> Int[Tensor, "order unit"]:
        """The degree of every unit of a hidden layer, in each order."""
        return self.get_buffer(f"degrees_{level}")

    def forward(
        self,
        features: Float[Tensor, "batch feature entry"],
        order: Int[Tensor, " 1"],
        given: Float[Tensor, "batch given"] | None = None,
    ) -> Float[Tensor, "batch parameter entry"]:
        """The parameters of every entry, under one of the orders."""
        positions = self.positions.index_select(0, order).squeeze(0)
        sources = positions.repeat(self.num_features)
        targets = positions.repeat(self.num_parameters)
        inputs = features.flatten(1)
        state, seen = inputs, sources
        for level, layer in enumerate(self.hidden):
            degrees = self.degrees(level).index_select(0, order).squeeze(0)
            state = _masked(layer, state, seen <= degrees.unsqueeze(1))
            if given is not None:
                state = state + self.given[level](given)
            state, seen = state.relu(), degrees
        out = _masked(self.output, state, seen < targets.unsqueeze(1))
        if self.direct is not None:
            out = out + _masked(self.direct, inputs, sources < targets.unsqueeze(1))
        if given is not None:
            out = out + self.given[-1](given)
        return out.unflatten(1, (self.num_parameters, self.num_entries))


def _masked(layer: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return F.linear(x, layer.weight * mask, layer.bias)


def natural_order(
    num_entries: int, hidden: tuple[int, ...], seed: int
) -> tuple[Tensor, list[Tensor]]:
    """Positions 0, 1, 2 … and degrees spread evenly over what is useful."""
    generator = torch.Generator().manual_seed(seed)
    return torch.arange(num_entries), _degrees(num_entries, hidden, generator)


def random_order(
    num_entries: int, hidden: tuple[int, ...], seed: int
) -> tuple[Tensor, list[Tensor]]:
    """A permutation, and degrees of its own."""
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randperm(num_entries, generator=generator)
    return positions, _degrees(num_entries, hidden, generator)


def _degrees(num_entries: int, hidden: tuple[int, ...], generator: torch.Generator) -> list[Tensor]:
    """Each degree 0 … D−2 as often as any other, in random places.

    Even shares instead of independent draws leave no degree without units where there is room.
    """
    useful = max(1, num_entries - 1)
    degrees = []
    for width in hidden:
        spread = torch.arange(width) * useful // width if width >= useful else None
        if spread is None:
            spread = (torch.arange(width) * (useful - 1)) // max(1, width - 1)
        degrees.append(spread[torch.randperm(width, generator=generator)])
    return degrees


class MaskedWalk:
    """One pass of a :class:`MaskedNetwork` over the entries in order, each when it is known.

    A unit of degree m is final once the entry at position m is known, and is computed then:
    the whole walk costs as much as one pass of the network. What is not known yet is held as
    zero, which does the work of the masks.

    Args:
        network: to walk.
        order: number of the order.
        rows: how many data are walked at once.
        given: the condition of each row.
    """

    def __init__(
        self, network: MaskedNetwork, order: int, rows: int, given: Tensor | None = None
    ) -> None:
        self.network = network
        self.entries = network.positions[order].argsort().tolist()
        self.num_steps = network.num_entries
        self.step = 0
        example = network.output.weight
        self.inputs = example.new_zeros(rows, network.num_features, network.num_entries)
        degrees = [network.degrees(level)[order] for level in range(len(network.hidden))]
        self.states = [example.new_zeros(rows, len(units)) for units in degrees]
        self.units = [_by_degree(units, self.num_steps) for units in degrees]
        self.given = [layer(given) for layer in network.given] if given is not None else []

    def predict(self) -> Float[Tensor, "row parameter 1"]:
        """The parameters of the next entry."""
        network, entry = self.network, self.entries[self.step]
        rows = slice(entry, None, network.num_entries)
        last = self.states[-1] if self.states else self.inputs.flatten(1)
        out = F.linear(last, network.output.weight[rows], network.output.bias[rows])
        if network.direct is not None:
            out = out + F.linear(self.inputs.flatten(1), network.direct.weight[rows])
        if self.given:
            out = out + self.given[-1][:, rows]
        return out.unsqueeze(2)

    def commit(self, features: Float[Tensor, "row feature 1"]) -> None:
        """Makes the next entry known, and computes the units that waited for it."""
        self.inputs[:, :, self.entries[self.step]] = features.squeeze(2)
        below = self.inputs.flatten(1)
        for level, layer in enumerate(self.network.hidden):
            assert isinstance(layer, nn.Linear)
            units = self.units[level][self.step]
            if len(units):
                state = F.linear(below, layer.weight[units], layer.bias[units])
                if self.given:
                    state = state + self.given[level][:, units]
                self.states[level][:, units] = state.relu()
            below = self.states[level]
        self.step += 1

    def select(self, rows: Int[Tensor, " row"]) -> None:
        """Goes on with these rows; a row may be taken several times or not at all."""
        self.inputs = self.inputs[rows]
        self.states = [state[rows] for state in self.states]
        self.given = [given[rows] for given in self.given]


def _by_degree(degrees: Tensor, num_steps: int) -> tuple[Tensor, ...]:
    """The units of each degree."""
    counts = torch.bincount(degrees, minlength=num_steps).tolist()
    return degrees.argsort(stable=True).split(counts)

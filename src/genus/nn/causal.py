"""Gated convolutions in raster order, without a blind spot (van den Oord et al. 2016).

A vertical stack sees all rows above a pixel, a horizontal one the pixels to its left in its own
row, and the first feeds the second. Kernels are cropped to what they may see, so nothing is
computed only to be masked. Within a pixel the channels come in order: the features of the
horizontal stack fall into as many groups as there are channels, and group g sees, of the pixel
itself, the channels before g alone.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CausalWalk", "GatedCausalNetwork", "gate"]


def gate(x: Tensor) -> Tensor:
    """2 tanh(a) σ(2b) of the two halves of x, by 2σ(2b) = 1 + tanh(b) with one function call."""
    a, b = x.tanh().chunk(2, 1)
    return torch.addcmul(a, a, b)


class VerticalConv(nn.Conv2d):
    """A convolution over the rows above (``strict``), or also the pixel's own row.

    Args:
        inputs: number of input features.
        outputs: number of output features.
        reach: rows above, and columns to either side, that it sees.
        strict: whether a pixel's own row is left out.
    """

    def __init__(self, inputs: int, outputs: int, reach: int, *, strict: bool) -> None:
        rows = reach if strict else reach + 1
        super().__init__(inputs, outputs, (rows, 2 * reach + 1))
        self.reach, self.strict = reach, strict

    def forward(self, x: Tensor) -> Tensor:
        """All rows."""
        above = x[:, :, :-1] if self.strict else x
        return self.last_row(F.pad(above, (0, 0, self.reach, 0)))

    def last_row(self, window: Float[Tensor, "row feature tall width"]) -> Tensor:
        """The rows whose whole reach lies in the window: one, where it is no taller than that."""
        return F.conv2d(window, self.weight, self.bias, padding=(0, self.reach))


class HorizontalConv(nn.Conv2d):
    """A convolution over the pixels to the left and, through a mask of groups, the pixel itself.

    Args:
        sources: group of every input feature.
        targets: group of every output feature.
        reach: columns to the left.
        strict: whether a target sees groups below its own, or also its own.
    """

    def __init__(self, sources: Tensor, targets: Tensor, reach: int, *, strict: bool) -> None:
        seen = sources < targets[:, None] if strict else sources <= targets[:, None]
        self.sees_itself = bool(seen.any())
        columns = reach + 1 if self.sees_itself else reach
        super().__init__(len(sources), len(targets), (1, columns))
        self.reach = reach
        mask = None
        if self.sees_itself and not bool(seen.all()):
            mask = torch.ones_like(self.weight, dtype=torch.bool)
            mask[:, :, 0, reach] = seen
        self.register_buffer("mask", mask, persistent=False)

    @property
    def masked_weight(self) -> Tensor:
        """The weight, with zeros where a channel must not look."""
        mask = self.get_buffer("mask")
        return self.weight if mask is None else self.weight * mask

    def forward(self, x: Tensor) -> Tensor:
        """All columns."""
        left = x if self.sees_itself else x[:, :, :, :-1]
        padded = F.pad(left, (self.reach, 0)) if self.reach else left
        return F.conv2d(padded, self.masked_weight, self.bias)

    def affine(self) -> tuple[Tensor, Tensor]:
        """The bias, and the weight as a matrix from (column, feature), for one pixel at a time."""
        assert self.bias is not None
        return self.bias, self.masked_weight[:, :, 0].permute(2, 1, 0).flatten(0, 1).contiguous()


class GatedLayer(nn.Module):
    """One layer of both stacks.

        v ← gate(V ∗ v)        h ← h + R · gate(H ∗ h + D · (V ∗ v))

    A condition, and in the first layer a learnt map of places, is added before both gates.
    Beside the new v and h the layer gives what it adds to the skip connections.

    Args:
        inputs: groups of the input features.
        groups: of its own horizontal features.
        kernel: odd width of its kernels.
        first: whether the input is the picture itself, so that a pixel must not see itself.
        num_given: size of the condition, 0 for none.
        num_new: features of the new h: as many as there are groups, or none in the last layer.
        skip: groups of the features that go to the output directly.
        residual: whether h is added to its successor.
    """

    def __init__(
        self,
        inputs: Int[Tensor, " input"],
        groups: Int[Tensor, " feature"],
        kernel: int,
        *,
        first: bool,
        num_given: int,
        num_new: int,
        skip: Int[Tensor, " skip"],
        residual: bool,
    ) -> None:
        super().__init__()
        channels = len(groups)
        self.reach = kernel // 2
        self.num_new, self.num_skip = num_new, len(skip)
        self.residual = residual and not first
        self.vertical = VerticalConv(len(inputs), 2 * channels, self.reach, strict=first)
        self.down = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.horizontal = HorizontalConv(inputs, groups.repeat(2), self.reach, strict=first)
        self.out = HorizontalConv(groups, torch.cat([groups[:num_new], skip]), 0, strict=False)
        self.given = nn.Linear(num_given, 4 * channels, bias=False) if num_given else None

    def offsets(self, given: Tensor | None, places: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """What is added before the vertical and the horizontal gate, or None."""
        total = places
        if self.given is not None and given is not None:
            shift = self.given(given)[:, :, None, None]
            total = shift if total is None else total + shift
        if total is None:
            return None
        above, here = total.chunk(2, 1)
        return above, here

    def forward(
        self, v: Tensor, h: Tensor, given: Tensor | None, places: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The new v and h, and what goes to the skip connections; unused ones are empty."""
        above, here = self.vertical(v), self.horizontal(h)
        offsets = self.offsets(given, places)
        if offsets is not None:
            above, here = above + offsets[0], here + offsets[1]
        out = self.out(gate(here + self.down(above)))
        new, skip = out.split((self.num_new, self.num_skip), 1)
        if self.num_new == 0:
            return v, h, skip
        return gate(above), h + new if self.residual else new, skip


class GatedCausalNetwork(nn.Module):
    """Parameters of every entry of an image, from the entries before it in raster order.

    The order is row by row, pixel by pixel, and channel by channel within a pixel.

    Args:
        shape: channel, height and width of the image.
        num_features: numbers that stand for an entry at the input.
        num_parameters: numbers for each entry at the output.
        channels: features of each stack.
        num_layers: gated layers, at least 2.
        kernel: odd width of the kernels behind the first layer.
        first_kernel: odd width of the first layer's kernels.
        num_skip: features of the skip connections; 0 leaves them out.
        residual: whether h is added to its successor.
        positional: whether the first layer has a learnt map of places.
        num_given: size of a condition that every layer sees, 0 for none.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        num_features: int,
        num_parameters: int,
        *,
        channels: int,
        num_layers: int,
        kernel: int,
        first_kernel: int,
        num_skip: int,
        residual: bool = True,
        positional: bool = True,
        num_given: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.num_parameters, self.num_skip = shape, num_parameters, num_skip
        image_channels = shape[0]
        inputs = torch.arange(image_channels).repeat(num_features)
        groups = torch.arange(channels) * image_channels // channels
        skip = torch.arange(num_skip) * image_channels // max(1, num_skip)
        self.layers = nn.ModuleList(
            GatedLayer(
                groups if level else inputs,
                groups,
                kernel if level else first_kernel,
                first=level == 0,
                num_given=num_given,
                num_new=0 if num_skip and level == num_layers - 1 else channels,
                skip=skip,
                residual=residual,
            )
            for level in range(num_layers)
        )
        last = skip if num_skip else groups
        targets = torch.arange(image_channels).repeat_interleave(num_parameters)
        self.mix = HorizontalConv(last, last, 0, strict=False)
        self.output = HorizontalConv(last, targets, 0, strict=False)
        self.places: nn.Parameter | None = None
        if positional:
            self.places = nn.Parameter(torch.zeros(1, 4 * channels, *shape[1:]))

    def forward(
        self,
        features: Float[Tensor, "batch feature channel height width"],
        given: Float[Tensor, "batch given"] | None = None,
    ) -> Float[Tensor, "batch parameter channel height width"]:
        """The parameters of every entry."""
        v = h = features.flatten(1, 2)
        skips = []
        for level, layer in enumerate(self.layers):
            v, h, skip = layer(v, h, given, None if level else self.places)
            if level == 0:
                v, h, skip = (x.contiguous(memory_format=torch.channels_last) for x in (v, h, skip))
            skips.append(skip)
        last = sum(skips[1:], skips[0]) if self.num_skip else h
        out = self.output(self.mix(last.relu()).relu())
        return out.unflatten(1, (-1, self.num_parameters)).transpose(1, 2)


class CausalWalk:
    """One pass of a :class:`GatedCausalNetwork` over the entries, each when it is known.

    The vertical stack is computed a row at a time from the few rows of features that its
    kernels reach; the horizontal stack a pixel at a time, as matrix products with the few
    columns that its kernels reach. So all entries together cost about one pass of the network,
    where computing everything anew for each entry costs as many passes as there are entries.

    Args:
        network: to walk.
        rows: how many images are walked at once.
        given: the condition of each.
    """

    def __init__(self, network: GatedCausalNetwork, rows: int, given: Tensor | None = None) -> None:
        self.network = network
        self.channels, self.height, self.width = network.shape
        self.num_steps = self.channels * self.height * self.width
        self.step = 0
        self.layers = [layer for layer in network.layers if isinstance(layer, GatedLayer)]
        self.offsets = [
            layer.offsets(given, None if level else network.places)
            for level, layer in enumerate(self.layers)
        ]
        zeros = network.output.weight.new_zeros
        sizes = [(layer.vertical.in_channels, layer.reach) for layer in self.layers]
        self.above = [zeros(rows, size, reach, self.width) for size, reach in sizes]
        self.lines = [zeros(rows, reach + self.width, size) for size, reach in sizes]
        self.matrices = [layer.horizontal.affine()[1] for layer in self.layers]
        self.outs = [layer.out.affine() for layer in self.layers]
        self.heads = [head.affine() for head in (network.mix, network.output)]
        self.from_above: list[Tensor] = []

    def predict(self) -> Float[Tensor, "row parameter 1"]:
        """The parameters of the next entry."""
        column, channel = divmod(self.step % (self.width * self.channels), self.channels)
        if column == channel == 0:
            self._enter_row(self.step // (self.width * self.channels))
        out = self._at(column).unflatten(1, (self.channels, -1))
        return out[:, channel].unsqueeze(2)

    def commit(self, features: Float[Tensor, "row feature 1"]) -> None:
        """Makes the next entry known."""
        column, channel = divmod(self.step % (self.width * self.channels), self.channels)
        place = self.layers[0].reach + column
        self.lines[0][:, place, channel :: self.channels] = features.squeeze(2)
        self.step += 1

    def select(self, rows: Int[Tensor, " row"]) -> None:
        """Goes on with these rows; a row may be taken several times or not at all."""
        self.above = [cache[rows] for cache in self.above]
        self.lines = [cache[rows] for cache in self.lines]
        self.from_above = [cache[:, rows] for cache in self.from_above]
        self.offsets = [
            None if pair is None else (_of_rows(pair[0], rows), _of_rows(pair[1], rows))
            for pair in self.offsets
        ]

    def _enter_row(self, row: int) -> None:
        """The vertical stack for this row, and what it gives to each layer's horizontal one."""
        if row:
            finished = self.lines[0][:, self.layers[0].reach :].transpose(1, 2).unsqueeze(2)
            self.above[0] = torch.cat([self.above[0], finished], 2)[:, :, 1:]
        self.from_above = []
        v: Tensor | None = None
        for level, layer in enumerate(self.layers):
            window = self.above[level]
            if v is not None:
                window = torch.cat([window, v], 2)
                self.above[level] = window[:, :, 1:]
            above = layer.vertical.last_row(window)
            pair = self.offsets[level]
            above = above if pair is None else above + _of_place(pair[0], row)
            here = F.conv2d(above, layer.down.weight, layer.horizontal.bias)
            here = here if pair is None else here + _of_place(pair[1], row)
            self.from_above.append(here.squeeze(2).permute(2, 0, 1).contiguous())
            v = gate(above)

    def _at(self, column: int) -> Tensor:
        """The outputs at one pixel of the current row, shape ``(row, channel · parameter)``."""
        skips, h = [], self.lines[0][:, self.layers[0].reach + column]
        for level, layer in enumerate(self.layers):
            line, matrix = self.lines[level], self.matrices[level]
            line[:, layer.reach + column] = h
            window = line[:, column : column + len(matrix) // line.shape[2]].flatten(1)
            here = torch.addmm(self.from_above[level][column], window, matrix)
            out = torch.addmm(self.outs[level][0], gate(here), self.outs[level][1])
            new, skip = out.split((layer.num_new, layer.num_skip), 1)
            h = h + new if layer.residual and layer.num_new else new
            skips.append(skip)
        last = sum(skips[1:], skips[0]) if self.network.num_skip else h
        for bias, matrix in self.heads:
            last = torch.addmm(bias, last.relu(), matrix)
        return last


def _of_rows(offset: Tensor, rows: Tensor) -> Tensor:
    return offset[rows] if offset.shape[0] > 1 else offset


def _of_place(offset: Tensor, row: int) -> Tensor:
    return offset[:, :, row : row + 1] if offset.shape[2] > 1 else offset

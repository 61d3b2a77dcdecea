"""The kernel of binary units takes the step that the formulas say, with the draws of gibbs."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from genus.engine.moves import Move
from genus.inference.gibbs import bernoulli
from genus.kernels import BinaryContrast, build

pytestmark = pytest.mark.skipif(not build.suits(), reason="the kernels are for Linux on x86")

RATE = 0.1


class Machine:
    """Parameters, velocities, offsets and chains, and a step in plain formulas."""

    def __init__(self, visible, hidden, num_chains, *, momentum=0.0, decay=0.0, seed=0):
        draw = torch.Generator().manual_seed(seed)

        def normal(*shape, scale=1.0):
            return scale * torch.randn(shape, generator=draw)

        shapes = ((visible, hidden), (visible,), (hidden,))
        self.parameters = [nn.Parameter(normal(*shape)) for shape in shapes]
        self.velocities = [normal(*shape, scale=0.1) if momentum else None for shape in shapes]
        self.momentum, self.decay = momentum, (decay, 0.0, 2 * decay)
        self.offsets = [torch.rand(shape, generator=draw) for shape in shapes[1:]]
        self.chains = None
        if num_chains:
            self.chains = (torch.rand(num_chains, hidden, generator=draw) < 0.5).float()

    @property
    def moves(self):
        together = zip(self.parameters, self.velocities, self.decay, strict=True)
        return [Move(p, v, self.momentum if v is not None else 0.0, d) for p, v, d in together]

    def step_by_kernel(self, kernel, data, k, newest):
        found = kernel.step(
            data, self.chains, k, self.moves, tuple(self.offsets), newest=newest, rate=RATE
        )
        self.offsets, self.chains = list(found.offsets), found.chains
        return found.gap

    @torch.no_grad()
    def step_by_formulas(self, data, k, newest, low):
        """Products of what ``low`` leaves of their factors, the rest in float32."""
        W, b, c = self.parameters
        up, down = low(W), low(W.T.contiguous())

        def caused(v):
            return torch.sigmoid(low(v) @ up + c)

        h = bernoulli(caused(data)) if self.chains is None else self.chains
        for turn in range(k):
            v = bernoulli(torch.sigmoid(h @ down + b))
            if turn < k - 1 or self.chains is not None:
                h = bernoulli(caused(v))
        if self.chains is not None:
            self.chains = h
        means = caused(data), caused(v)
        for offset, rows in zip(self.offsets, (data, means[0]), strict=True):
            offset.lerp_(rows.mean(0), newest)
        mu, lam = self.offsets
        share = torch.cat(
            [torch.full((len(data),), -1 / len(data)), torch.full((len(v),), 1 / len(v))]
        )
        below, above = torch.cat([data, v]) - mu, torch.cat(means) - lam
        slope = low(below).T @ low(share[:, None] * above)
        slopes = (
            slope,
            share @ torch.cat([data, v]) - slope @ lam,
            share @ torch.cat(means) - slope.T @ mu,
        )
        free = [-(x @ b) - nn.functional.softplus(low(x) @ up + c).sum(1) for x in (data, v)]
        for (p, velocity, momentum, decay), slope in zip(self.moves, slopes, strict=True):
            change = slope + decay * p
            if velocity is not None:
                change = velocity.mul_(momentum).add_(change)
            p.sub_(RATE * change)
        return float(free[0].mean() - free[1].mean())


def lowered(x):
    return x.bfloat16().float()


def as_it_is(x):
    return x


CASES = [
    # visible, hidden, data, chains (0: at the data), k, settings
    pytest.param(12, 8, 20, 0, 1, {}, id="cd"),
    pytest.param(13, 7, 21, 0, 3, {"momentum": 0.7, "decay": 0.01}, id="odd cd-3, momentum"),
    pytest.param(13, 7, 10, 33, 2, {"momentum": 0.5}, id="odd pcd-2, more chains"),
    pytest.param(50, 40, 31, 8, 1, {"decay": 0.1}, id="pcd, fewer chains"),
    pytest.param(1, 1, 1, 1, 1, {}, id="smallest"),
    pytest.param(100, 3, 7, 2, 1, {}, id="few hidden"),
    pytest.param(211, 33, 17, 6, 2, {"momentum": 0.5, "decay": 0.01}, id="odd parts, pcd-2"),
    pytest.param(784, 500, 100, 0, 1, {}, id="many units, cd"),
    pytest.param(500, 333, 99, 100, 2, {"momentum": 0.9}, id="many units, pcd"),
]


@pytest.fixture(params=[1, 2, 3], ids=lambda number: f"{number} threads")
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize(("visible", "hidden", "num_data", "num_chains", "k", "settings"), CASES)
def test_steps_are_those_of_the_formulas(
    visible, hidden, num_data, num_chains, k, settings, bf16, threads
):
    if not BinaryContrast.serves(bf16):
        pytest.skip("no such products here")
    kernel, low = BinaryContrast(bf16), lowered if bf16 else as_it_is
    mine, plain = (Machine(visible, hidden, num_chains, **settings) for _ in range(2))
    scale = 0.3 if visible > 100 else 1.0
    with torch.no_grad():
        for machine in (mine, plain):
            machine.parameters[0].mul_(scale)
    for step in range(3):
        data = torch.rand(num_data, visible, generator=torch.Generator().manual_seed(step))
        if step:
            data = (data < 0.3).float()
        gaps = []
        for machine in (mine, plain):
            torch.manual_seed(step)
            if machine is mine:
                gaps.append(machine.step_by_kernel(kernel, data, k, 0.2))
            else:
                gaps.append(machine.step_by_formulas(data, k, 0.2, low))
            gaps.append(torch.rand(()))  # both have taken as many random numbers
        assert gaps[1] == gaps[3]
        assert gaps[0] == pytest.approx(gaps[2], rel=1e-4, abs=1e-3)
        found, wanted = ([*m.parameters, *m.offsets, *m.velocities] for m in (mine, plain))
        for one, other in zip(found, wanted, strict=True):
            if one is not None:
                # a mean may be rounded to the other neighbour in bfloat16
                few = 3e-3 if bf16 and visible > 100 else 1e-4
                torch.testing.assert_close(one, other, rtol=1e-4, atol=few)
                assert (one - other).abs().median() < 2e-5
        if num_chains:
            assert torch.equal(mine.chains, plain.chains)


def test_weights_that_others_wrote_are_taken_up():
    kernel = BinaryContrast(True) if BinaryContrast.serves(True) else BinaryContrast(False)
    data = (torch.rand(20, 30, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    mine = Machine(30, 16, 0)
    mine.step_by_kernel(kernel, data, 1, 0.0)
    version = mine.parameters[0]._version
    with torch.no_grad():
        mine.parameters[0].neg_()
    assert mine.parameters[0]._version > version > 0
    fresh = copy.deepcopy(mine)
    results = []
    for machine, own in ((mine, kernel), (fresh, type(kernel)(BinaryContrast.serves(True)))):
        torch.manual_seed(1)
        machine.step_by_kernel(own, data, 1, 0.0)
        results.append(machine.parameters)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.skipif(not BinaryContrast.serves(True), reason="no such products here")
def test_other_weights_at_the_same_place_are_taken_up():
    """As where a model is freed and the next one gets its memory."""
    data = (torch.rand(20, 30, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    kernel, mine = BinaryContrast(True), Machine(30, 16, 0)
    mine.step_by_kernel(kernel, data, 1, 0.0)
    weights = nn.Parameter(mine.parameters[0].data)
    with torch.no_grad():
        weights.neg_()
    assert weights._version == mine.parameters[0]._version
    mine.parameters[0] = weights
    fresh = copy.deepcopy(mine)
    for machine, own in ((mine, kernel), (fresh, BinaryContrast(True))):
        torch.manual_seed(1)
        machine.step_by_kernel(own, data, 1, 0.0)
    assert torch.equal(mine.parameters[0], fresh.parameters[0])


def test_batches_of_another_size_and_other_threads_need_no_other_kernel(threads):
    kernel, mine, plain = BinaryContrast(False), Machine(40, 20, 0), Machine(40, 20, 0)
    for step, number in enumerate((10, 3, 10, 17)):
        data = (torch.rand(number, 40, generator=torch.Generator().manual_seed(step)) < 0.5).float()
        torch.set_num_threads(1 + step % 2)
        torch.manual_seed(step)
        mine.step_by_kernel(kernel, data, 1, 0.1)
        torch.manual_seed(step)
        plain.step_by_formulas(data, 1, 0.1, as_it_is)
    for one, other in zip(mine.parameters, plain.parameters, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def half_as_long(tensor):
    return tensor[: len(tensor) // 2].clone()


def narrower(tensor):
    return tensor[..., :-1].contiguous()


def sparse_in_memory(tensor):
    return tensor.repeat_interleave(2, -1)[..., ::2]


@pytest.mark.parametrize("change", [narrower, sparse_in_memory, torch.Tensor.double, half_as_long])
@pytest.mark.parametrize("place", ["data", "chains", *(f"{n}{i}" for n in "opv" for i in (0, 1))])
def test_what_does_not_fit_is_left_alone(place, change):
    """It reads and writes where pointers lead, so that every tensor is looked at first."""
    mine = Machine(20, 10, 4, momentum=0.5)
    mine.data = torch.ones(5, 20)
    lists = {"o": mine.offsets, "p": mine.parameters, "v": mine.velocities}
    if place[0] in lists:
        found = lists[place[0]][int(place[1])]
        lists[place[0]][int(place[1])] = change(found.detach())
    elif change is half_as_long:
        setattr(mine, place, getattr(mine, place)[:0])
    else:
        setattr(mine, place, change(getattr(mine, place)))
    before = [p.detach().clone() for p in mine.parameters]
    kernel = BinaryContrast(False)
    given = (mine.data, mine.chains, 1, mine.moves, tuple(mine.offsets))
    assert kernel.step(*given, newest=0.1, rate=RATE) is None
    assert all(map(torch.equal, mine.parameters, before))


@pytest.mark.parametrize("k", [0, -1, 1 << 64])
def test_sweeps_that_cannot_be_counted_are_left_alone(k):
    mine = Machine(20, 10, 0)
    given = (torch.ones(5, 20), None, k, mine.moves, tuple(mine.offsets))
    assert BinaryContrast(False).step(*given, newest=0.1, rate=RATE) is None


def test_a_damaged_file_is_built_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "_folder", lambda: tmp_path)
    monkeypatch.setattr(build, "_compiled", lambda source: b"as good as compiled")
    path = build._built("contrast")
    assert build._built("contrast") == path
    path.write_bytes(b"as good")
    assert build._built("contrast") == path
    assert path.read_bytes() == b"as good as compiled"
    monkeypatch.setattr(build, "_processor", lambda: "another")
    assert build._built("contrast").name.split("-")[1] != path.name.split("-")[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_not_finite_shows_in_the_gap(value, which):
    mine = Machine(20, 10, 0)
    with torch.no_grad():
        mine.parameters[which].view(-1)[3] = value
    gap = mine.step_by_kernel(BinaryContrast(False), torch.ones(5, 20), 1, 0.0)
    assert not torch.isfinite(torch.tensor(gap))


def test_chains_and_offsets_of_before_stay_as_they_were():
    """Who holds on to a state, as a checkpoint does, keeps it."""
    mine = Machine(20, 10, 8)
    held = [mine.chains, *mine.offsets]
    copies = [each.clone() for each in held]
    mine.step_by_kernel(BinaryContrast(False), torch.ones(5, 20), 1, 0.5)
    assert all(torch.equal(one, other) for one, other in zip(held, copies, strict=True))
    assert not torch.equal(mine.offsets[0], copies[1])


def test_a_kernel_that_cannot_be_built_warns_and_leaves_the_step_to_torch(tmp_path):
    said = "echo oh no >&2; exit 1"
    command = tmp_path / "compiler"
    command.write_text(f'#!/bin/sh\ncase "$*" in *contrast.cpp*) {said};; esac\nexec g++ "$@"\n')
    command.chmod(0o755)
    program = (
        "import torch, genus\n"
        "from genus.engine import Budget\n"
        "from torch._dynamo.utils import counters\n"
        "x = (torch.rand(60, 6) < 0.3).float()\n"
        "model = genus.models.RBM(genus.Binary((6,)), num_hidden=4)\n"
        "from genus.engine import Tensors, run\n"
        "run(model, Tensors(x, model.space), model.algorithm(), budget=Budget(steps=3),\n"
        "    device='cpu', compiled=True)\n"
        "print('graphs', counters['stats']['unique_graphs'])\n"
    )
    given = {**os.environ, "CXX": str(command), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=given, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "graphs 1" in ended.stdout
    assert ended.stderr.count("contrast.cpp could not be built") == 1
    assert "oh no" in ended.stderr
    assert not list((tmp_path / "cache").rglob("*.so"))

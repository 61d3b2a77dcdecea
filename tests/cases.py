"""Every model's small, lop-sided instances, by family."""

import torch

from genus.engine import Descend, Optimiser
from genus.spaces import Binary, Categorical, Pixels, Real
from genus.testing import Case, lopsided

LABELS = Categorical((), 3)
BITS = Binary((5,))
PLANE = Real((2,))
TINY_PICTURE = Pixels((1, 3, 2), 3)
COLOURS = Pixels((2, 2, 1), 5)


def labelled(space, n=240):
    """Labels, and data that depend on them: each label shifts the prototype."""
    labels = lopsided(LABELS, n, 1)
    parts = torch.stack([lopsided(space, n, seed) for seed in (2, 3, 4)])
    return parts[labels, torch.arange(n)], labels


def ppca():
    from genus.models import PPCA

    box = Real((3, 2))
    return [
        Case("ppca", lambda: PPCA(PLANE, 1), lopsided(PLANE), scale=2.5),
        Case(
            "ppca by em",
            lambda: PPCA(box, 3, method="em"),
            lopsided(box),
            skip={
                "sums_to_one": "six dimensions; the case ppca integrates",
                "samples_follow_log_prob": "six dimensions; the case ppca counts",
            },
        ),
    ]


def rbm():
    from genus.inference.enumerate import binary_chunks
    from genus.models import RBM
    from genus.objectives.contrastive import PersistentContrastiveDivergence

    def faster(model, rate=0.2):
        objective = PersistentContrastiveDivergence(1, num_chains=30)
        return Descend(objective, Optimiser("sgd", rate, (0.5, 0.0)), batch_size=30)

    def enumerated(model, x, condition):
        """Log Z summed over all 2^17 visible vectors, as both sides are too large for the model."""
        parts = [
            -model.free_energy(rows.reshape(-1, *model.space.shape))
            for rows in binary_chunks(17, chunk=1 << 14)
        ]
        return -model.free_energy(x) - torch.cat(parts).logsumexp(0)

    tall, large = Binary((2, 3)), Binary((1, 17))
    return [
        Case("rbm", lambda: RBM(BITS, 3), lopsided(BITS), scale=2.5, steps=200, algorithm=faster),
        Case(
            "rbm with more hidden units",
            lambda: RBM(tall, 8, num_steps=300),
            lopsided(tall),
            scale=2.0,
            steps=200,
            algorithm=lambda model: faster(model, 0.1),
        ),
        Case(
            "rbm that anneals",
            lambda: RBM(large, 18, num_steps=50, num_sweeps=50, num_temperatures=100),
            lopsided(large),
            reference=enumerated,
            scale=1.5,
            steps=200,
            effort=300,
            algorithm=lambda model: faster(model, 0.03),
            skip={"draws_follow_the_conditional": "17 units; the small cases count"},
        ),
    ]


def rbm_units():
    from genus.models import RBM
    from genus.objectives.contrastive import PersistentContrastiveDivergence

    def by_chains(model):
        objective = PersistentContrastiveDivergence(1, num_chains=30)
        return Descend(objective, Optimiser("sgd", 0.1, (0.5, 0.0)), batch_size=30)

    def slowly(model):
        objective = PersistentContrastiveDivergence(1, num_chains=30)
        return Descend(objective, Optimiser("sgd", 0.03, (0.5, 0.0)), batch_size=30)

    suits, levels = Categorical((3,), 3), Pixels((1, 2, 2), 3)
    short = {"num_steps": 200, "num_sweeps": 100}
    return [
        Case(
            "rbm of reals",
            lambda: RBM(PLANE, 5, **short),
            lopsided(PLANE),
            scale=1.0,
            steps=200,
            algorithm=slowly,
        ),
        Case(
            "rbm of reals on both sides",
            lambda: RBM(PLANE, 3, hidden="gaussian", **short),
            lopsided(PLANE),
            scale=0.3,
            steps=200,
            algorithm=slowly,
        ),
        Case(
            "rbm of categories",
            lambda: RBM(suits, 2, hidden="categorical", num_states=4, **short),
            lopsided(suits),
            scale=2.0,
            steps=200,
            algorithm=by_chains,
        ),
        Case(
            "rbm of levels",
            lambda: RBM(levels, 3, visible="rectified", hidden="rectified", num_states=3, **short),
            lopsided(levels),
            scale=1.0,
            steps=200,
            algorithm=slowly,
        ),
        Case(
            "rbm of bits with real hidden units",
            lambda: RBM(BITS, 3, hidden="gaussian", num_temperatures=100, **short),
            lopsided(BITS),
            scale=1.5,
            steps=200,
            algorithm=slowly,
        ),
    ]


def boltzmann_machine():
    from genus.models import BoltzmannMachine, HiddenBoltzmannMachine
    from genus.models.boltzmann import grid_pairs
    from genus.objectives.persistent import PersistentGibbs
    from genus.objectives.pseudo_likelihood import PseudoLikelihood

    def by_pseudo_likelihood(model):
        return Descend(PseudoLikelihood(), Optimiser("adam", 0.03), batch_size=30)

    def by_chains(model, rate=0.2):
        objective = PersistentGibbs(2, num_chains=30)
        return Descend(objective, Optimiser("sgd", rate, (0.5, 0.0)), batch_size=30)

    def by_energy(model, x, condition):
        """Log Z summed term by term over all visible and hidden units."""
        size, seen = len(model.bias), model.num_visible
        units = Binary((size,)).points().to(x.dtype)
        weighed = -0.5 * ((units @ model.couplings()) * units).sum(1) - units @ model.bias
        log_p = (-weighed).log_softmax(0).reshape(-1, 2 ** (size - seen)).logsumexp(1)
        place = x.flatten(1) @ (2.0 ** torch.arange(seen - 1, -1, -1, dtype=x.dtype))
        return log_p[place.long()]

    grid, few = Binary((2, 3)), Binary((4,))
    some = ((0, 4), (0, 5), (1, 4), (1, 6), (2, 5), (3, 6), (0, 1), (2, 3), (4, 5), (5, 6))
    return [
        Case("boltzmann machine", lambda: BoltzmannMachine(BITS), lopsided(BITS), scale=2.5),
        Case(
            "boltzmann machine on a grid",
            lambda: BoltzmannMachine(grid, couplings=grid_pairs(2, 3)),
            lopsided(grid),
            reference=by_energy,
            scale=3.0,
            algorithm=by_pseudo_likelihood,
        ),
        Case(
            "boltzmann machine that anneals",
            lambda: BoltzmannMachine(BITS, num_temperatures=60, num_steps=50, most_summed=0),
            lopsided(BITS),
            reference=by_energy,
            scale=2.5,
            effort=300,
            algorithm=by_chains,
        ),
        Case(
            "boltzmann machine with hidden units",
            lambda: HiddenBoltzmannMachine(few, 3, couplings=some),
            lopsided(few),
            reference=by_energy,
            scale=2.5,
            steps=200,
            algorithm=by_chains,
        ),
        Case(
            "boltzmann machine with hidden units that anneals",
            lambda: HiddenBoltzmannMachine(few, 2, num_temperatures=60, most_summed=1),
            lopsided(few),
            reference=by_energy,
            scale=2.0,
            effort=300,
            steps=300,
            algorithm=lambda model: by_chains(model, 0.05),
        ),
    ]


def deep_belief():
    from genus.inference.enumerate import binary_chunks
    from genus.models import DeepBeliefNetwork

    def enumerated(model, x, condition):
        """Log Σ p(x, h) over all hidden units, each energy and probability written out."""
        bernoulli, normal = torch.distributions.Bernoulli, torch.distributions.Normal
        layers, top = list(model.stack.layers), model.stack.top
        sizes = [layer.weights.shape[1] for layer in layers]
        states = next(binary_chunks(sum(sizes), chunk=1 << 20)).to(x.dtype).split(sizes, dim=1)
        below, size = [x.flatten(1).unsqueeze(1), *states[:-1]], top.num_units
        bias = top.hidden_bias
        if condition is not None:
            bias = bias + top.weights[size:][condition].unsqueeze(1)

        def log_f(u):
            alone = (u * top.visible_bias[:size]).sum(-1)
            across = ((u @ top.weights[:size]) * states[-1]).sum(-1)
            return alone + across + (states[-1] * bias).sum(-1)

        if len(layers) == 1 and hasattr(top, "log_deviation"):
            means, spread = top.visible_bias + states[0] @ top.weights.T, top.log_deviation.exp()
            gain = (means**2 - top.visible_bias**2) / 2
            weight = (states[0] @ top.hidden_bias + gain.sum(1)).log_softmax(0)
            likelihood = normal(spread * means, spread).log_prob(x.unsqueeze(1)).sum(2)
            return (likelihood + weight).logsumexp(1)
        every = next(binary_chunks(size + sizes[-1], chunk=1 << 20)).to(x.dtype)
        u, h = every.split([size, sizes[-1]], dim=1)
        energy = u @ top.visible_bias[:size] + ((u @ top.weights[:size]) * h).sum(1)
        log_z = (energy + (h * bias).sum(-1)).logsumexp(-1)
        total = log_f(below[-1]) - (log_z if condition is None else log_z.unsqueeze(1))
        for layer, here, above in zip(layers[:-1], below[:-1], states[:-1], strict=True):
            field = layer.visible_bias + above @ layer.weights.T
            head = bernoulli(logits=field)
            if hasattr(layer, "log_deviation"):
                head = normal(layer.log_deviation.exp() * field, layer.log_deviation.exp())
            total = total + head.log_prob(here).sum(-1)
        return total.logsumexp(1)

    def faster(model):
        return model.algorithm(
            learning_rate=0.2, up_down=1.0, up_down_rate=0.05, num_chains=30, batch_size=30
        )

    data, labels = labelled(BITS)
    few = {"num_steps": 60, "num_sweeps": 300}
    exact = {"reference": enumerated, "algorithm": faster, "steps": 400, "effort": 20000}
    return [
        Case(
            "deep belief network",
            lambda: DeepBeliefNetwork(BITS, (4, 3), **few),
            lopsided(BITS),
            scale=2.0,
            **exact,
        ),
        Case(
            "deep belief network of one layer",
            lambda: DeepBeliefNetwork(BITS, (3,), **few),
            lopsided(BITS),
            scale=2.0,
            **exact,
        ),
        Case(
            "deep belief network with labels",
            lambda: DeepBeliefNetwork(BITS, (4, 2, 3), condition=LABELS, **few),
            data,
            labels,
            scale=2.0,
            **exact,
        ),
        Case(
            "deep belief network of reals",
            lambda: DeepBeliefNetwork(PLANE, (3, 4), **few),
            lopsided(PLANE),
            scale=1.0,
            **exact,
        ),
        Case(
            "deep belief network of reals and one layer",
            lambda: DeepBeliefNetwork(PLANE, (3,), **few),
            lopsided(PLANE),
            scale=1.0,
            **exact,
        ),
    ]


def deep_boltzmann():
    from genus.models import DeepBoltzmannMachine
    from genus.objectives.persistent_layers import PersistentLayers

    def together(model):
        objective = PersistentLayers(4, num_chains=30)
        optimiser = Optimiser("sgd", 0.1, (0.5, 0.0), schedule="linear")
        return Descend(objective, optimiser, batch_size=30)

    def after_greedy_layers(model):
        return model.pretrained(together(model), share=0.7, learning_rate=0.05)

    def enumerated(model, x, condition):
        """Log Σ exp(−E) over all hidden layers, for the x asked for and for every x."""
        sizes = [len(bias) for bias in model.biases]
        layers = Binary((sum(sizes),)).points().to(x.dtype).split(sizes, 1)
        log_f = sum(units @ bias for units, bias in zip(layers, model.biases, strict=True))
        for below, weights, above in zip(layers, model.weights, layers[1:], strict=False):
            log_f = log_f + torch.einsum("ni,ij,nj->n", below, weights, above)
        log_p = log_f.log_softmax(0).reshape(2 ** sizes[0], -1).logsumexp(1)
        place = x.flatten(1) @ (2.0 ** torch.arange(sizes[0] - 1, -1, -1, dtype=x.dtype))
        return log_p[place.long()]

    square = Binary((2, 2))
    return [
        Case(
            "deep boltzmann machine",
            lambda: DeepBoltzmannMachine(BITS, (4, 3), num_steps=100),
            lopsided(BITS),
            reference=enumerated,
            scale=2.5,
            steps=300,
            effort=20000,
            algorithm=together,
        ),
        Case(
            "deep boltzmann machine of three layers",
            lambda: DeepBoltzmannMachine(square, (3, 2, 4), num_steps=100),
            lopsided(square),
            reference=enumerated,
            scale=2.5,
            steps=400,
            effort=20000,
            algorithm=after_greedy_layers,
        ),
        Case(
            "deep boltzmann machine that anneals",
            lambda: DeepBoltzmannMachine(
                BITS, (4, 2), num_steps=100, num_temperatures=100, most_summed=0
            ),
            lopsided(BITS),
            reference=enumerated,
            scale=2.5,
            steps=300,
            effort=20000,
            algorithm=after_greedy_layers,
        ),
    ]


def made():
    from genus.models import MADE

    data, labels = labelled(BITS)
    mixed = Categorical((4,), 3)
    return [
        Case("made", lambda: MADE(BITS, (7, 6)), lopsided(BITS), scale=3.0, steps=200),
        Case(
            "made with 3 orders",
            lambda: MADE(BITS, (9,), num_orders=3),
            lopsided(BITS),
            scale=3,
            steps=300,
        ),
        Case("made with labels", lambda: MADE(BITS, (8,), condition=LABELS), data, labels),
        Case("made of categories", lambda: MADE(mixed, (9, 7)), lopsided(mixed), steps=120),
        Case(
            "made of levels",
            lambda: MADE(TINY_PICTURE, (11,), num_mixtures=2),
            lopsided(TINY_PICTURE),
            steps=120,
        ),
        Case("made of reals", lambda: MADE(PLANE, (8,)), lopsided(PLANE), scale=1.0, steps=400),
    ]


def pixelcnn():
    from genus.models import PixelCNN

    small = {"channels": 6, "num_layers": 2, "first_kernel": 3}
    binary = Binary((1, 2, 3))
    data, labels = labelled(binary)
    return [
        Case("pixelcnn", lambda: PixelCNN(binary, **small), lopsided(binary), scale=2.5),
        Case(
            "pixelcnn with labels",
            lambda: PixelCNN(binary, condition=LABELS, **small),
            data,
            labels,
        ),
        Case(
            "pixelcnn of colours",
            lambda: PixelCNN(COLOURS, num_mixtures=2, **small),
            lopsided(COLOURS),
            steps=120,
        ),
        Case(
            "pixelcnn of levels",
            lambda: PixelCNN(TINY_PICTURE, head="categorical", **small),
            lopsided(TINY_PICTURE),
            steps=120,
        ),
    ]


def vae():
    from genus.models import VAE

    def integrated(model, x, condition):
        """Log ∫ N(z; 0, 1) p(x | z) dz by the trapezium rule over a single z."""
        grid = torch.linspace(-9, 9, 4001, dtype=torch.float64).unsqueeze(1)
        weight = -0.5 * grid[:, 0] ** 2 - 0.9189385332046727 + torch.tensor(18 / 4000).log()
        values = []
        for i in range(len(x)):
            given = None if condition is None else condition[i : i + 1].expand(len(grid))
            parameters = model.decoder(grid, model._given(given))
            log_likelihood = model.head.log_prob(
                parameters, x[i : i + 1].expand(len(grid), *x[i].shape)
            )
            values.append((log_likelihood.flatten(1).sum(1) + weight).logsumexp(0))
        return torch.stack(values)

    data, labels = labelled(BITS)
    picture = Binary((1, 4, 6))
    return [
        Case(
            "vae",
            lambda: VAE(BITS, 1, hidden=(7,)),
            lopsided(BITS),
            reference=integrated,
            scale=1.6,
            effort=20000,
            gap=0.2,
            steps=150,
        ),
        Case(
            "vae with labels",
            lambda: VAE(BITS, 1, hidden=(6,), condition=LABELS),
            data,
            labels,
            reference=integrated,
            effort=20000,
            steps=150,
        ),
        Case(
            "vae of levels",
            lambda: VAE(TINY_PICTURE, 1, hidden=(8,), num_mixtures=2),
            lopsided(TINY_PICTURE),
            reference=integrated,
            effort=20000,
            steps=300,
        ),
        Case(
            "vae of reals",
            lambda: VAE(PLANE, 1, hidden=(8,)),
            lopsided(PLANE),
            reference=integrated,
            scale=0.6,
            effort=20000,
            gap=0.2,
            steps=300,
        ),
        Case(
            "convolutional vae",
            lambda: VAE(picture, 3, architecture="convolutional", hidden=(4, 6)),
            lopsided(picture),
            scale=1.0,
            steps=150,
            skip={"bound_is_below": "24 pixels and 3 hidden causes; the small cases judge it"},
        ),
    ]


def sigmoid_belief():
    from genus.inference.enumerate import binary_chunks
    from genus.models import SigmoidBeliefNetwork
    from genus.objectives.wake_sleep import WakeSleep

    def enumerated(model, x, condition):
        """Log Σ p(x, h) over all h, each probability from torch's Bernoulli."""
        bernoulli = torch.distributions.Bernoulli
        layers, top = model.generator.layers, model.generator.top
        sizes = [layer.in_features for layer in layers]
        hidden = next(binary_chunks(sum(sizes))).split(sizes, dim=1)
        total = bernoulli(logits=top).log_prob(hidden[-1]).sum(1)
        for layer, below, above in zip(layers[1:], hidden[:-1], hidden[1:], strict=True):
            total = total + bernoulli(logits=layer(above)).log_prob(below).sum(1)
        visible = bernoulli(logits=layers[0](hidden[0]).unsqueeze(1))
        total = total.unsqueeze(1) + visible.log_prob(x.flatten(1)).sum(2)
        return total.logsumexp(0)

    def faster(model):
        return Descend(WakeSleep(5, "both"), Optimiser(learning_rate=0.03), batch_size=30)

    box = Binary((2, 3))
    return [
        Case(
            "sigmoid belief network",
            lambda: SigmoidBeliefNetwork(BITS, (4, 2)),
            lopsided(BITS),
            reference=enumerated,
            scale=2.0,
            effort=20000,
            steps=150,
            algorithm=faster,
        ),
        Case(
            "sigmoid belief network of one layer",
            lambda: SigmoidBeliefNetwork(box, (3,)),
            lopsided(box),
            reference=enumerated,
            scale=2.5,
            effort=20000,
            steps=150,
            algorithm=faster,
        ),
        Case(
            "sigmoid belief network of three layers",
            lambda: SigmoidBeliefNetwork(BITS, (3, 4, 2)),
            lopsided(BITS),
            reference=enumerated,
            scale=1.6,
            effort=20000,
            steps=150,
            algorithm=faster,
        ),
    ]


def gan():
    from genus.models import GAN

    data, labels = labelled(PLANE)
    picture = Pixels((2, 4, 8), 7)
    return [
        Case("gan", lambda: GAN(PLANE, 3, hidden=(16,)), lopsided(PLANE), steps=400),
        Case(
            "gan with labels",
            lambda: GAN(PLANE, 3, hidden=(16,), condition=LABELS),
            data,
            labels,
            steps=400,
        ),
        Case("gan of bits", lambda: GAN(BITS, 3, hidden=(12,)), lopsided(BITS), steps=400),
        Case(
            "dcgan",
            lambda: GAN(picture, 4, architecture="dcgan", hidden=(8, 6)),
            lopsided(picture),
            algorithm=lambda model: model.algorithm(learning_rate=5e-3),
            steps=150,
        ),
    ]


def diffusion():
    from genus.models import Diffusion

    small = {"architecture": "mlp", "channels": (16,), "num_blocks": 1, "num_steps": 10}
    three = Binary((3,))
    data, labels = labelled(three)
    picture = Pixels((1, 4, 6), 5)
    return [
        Case(
            "diffusion of reals",
            lambda: Diffusion(PLANE, **small),
            lopsided(PLANE),
            scale=1.0,
            gap=None,
            steps=300,
            skip={"bound_is_below": "no reference over reals; the cases of bits sum the bound"},
        ),
        Case(
            "diffusion of bits",
            lambda: Diffusion(three, **small),
            lopsided(three),
            scale=1.0,
            gap=None,
            steps=300,
        ),
        Case(
            "diffusion with labels",
            lambda: Diffusion(three, condition=LABELS, sampler="ddim", variance="small", **small),
            data,
            labels,
            scale=1.0,
            gap=None,
            steps=300,
        ),
        Case(
            "diffusion of pictures",
            lambda: Diffusion(picture, channels=(8, 12), num_blocks=1, num_heads=2, num_steps=8),
            lopsided(picture),
            scale=1.0,
            gap=None,
            steps=150,
            skip={"bound_is_below": "24 pixels; the small cases judge it"},
        ),
    ]


FAMILIES = (
    ppca,
    rbm,
    rbm_units,
    boltzmann_machine,
    deep_boltzmann,
    deep_belief,
    made,
    pixelcnn,
    vae,
    sigmoid_belief,
    gan,
    diffusion,
)
CASES = [case for family in FAMILIES for case in family()]

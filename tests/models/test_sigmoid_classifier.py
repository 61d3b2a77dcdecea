import pytest
import torch

from genus import spaces
from genus.engine import Batch, Budget, Callback, Descend, Optimiser, Tensors, run
from genus.models import DeepBeliefNetwork, DeepBoltzmannMachine
from genus.models.boltzmann import SigmoidClassifier
from genus.objectives.cross_entropy import CrossEntropy
from genus.testing import stiffen

BITS, PLANE = spaces.Binary((2, 3)), spaces.Real((4,))
LABELS = spaces.Categorical((), 3)


def network(space=BITS, hidden=(5, 4), condition=None):
    torch.manual_seed(0)
    model = DeepBeliefNetwork(space, hidden, condition=condition)
    return stiffen(model.double(), 2.0)


def machine(hidden=(5, 4), **settings):
    """Large uneven weights; mean field of three layers settles in some two hundred sweeps."""
    torch.manual_seed(0)
    model = DeepBoltzmannMachine(BITS, hidden, num_mean_field=1000, **settings)
    return stiffen(model.double(), 2.0)


def parity(n=600):
    """Bits whose label is the parity of the first two: no plane tells them apart."""
    x = torch.randint(0, 2, (n, 2, 3), generator=torch.Generator().manual_seed(0)).float()
    return x, ((x[:, 0, 0] + x[:, 0, 1]) % 2).long()


@pytest.mark.parametrize("space", [BITS, PLANE])
@pytest.mark.parametrize("hidden", [(5,), (5, 4, 3)])
@torch.no_grad()
def test_it_begins_with_what_the_network_recognises(space, hidden):
    model = network(space, hidden)
    made = model.to_classifier(7).double()
    x = space.random(9).double()
    units = x.flatten(1)
    for layer in made.layers:
        units = layer(units).sigmoid()
    assert torch.allclose(units, model.features(x), atol=1e-10)
    assert made(x).shape == (9, 7)
    # the classifier's weights are its own
    made.layers[0].weight.zero_()
    assert model.stack.layers[0].weights.abs().max() > 0.1


@torch.no_grad()
def test_a_network_with_labels_hands_their_weights_on():
    model = network(condition=LABELS)
    made = model.to_classifier()
    top = model.stack.top
    assert torch.equal(made.label.weight, top.weights[top.num_units :])
    assert torch.equal(made.label.bias, top.visible_bias[top.num_units :])
    with pytest.raises(ValueError, match="num_classes"):
        model.to_classifier(4)
    with pytest.raises(ValueError, match="num_classes"):
        network().to_classifier()


def hidden_means(made, x):
    """What the hidden layers of a classifier say, by hand."""
    rows = made.inputs(x)
    sizes = [x.flatten(1).shape[1], *(down.weight.shape[1] for down in made.downs)]
    units, *means = rows.split(sizes, 1)
    found = []
    for number, layer in enumerate(made.layers):
        odds = units @ layer.weight.T + layer.bias
        if number < len(means):
            odds = odds + means[number] @ made.downs[number].weight.T
        found.append(odds.sigmoid())
        units = found[-1]
    return found


@pytest.mark.parametrize("hidden", [(5, 4), (4, 3, 5), (3, 2, 4, 2)])
@torch.no_grad()
def test_it_begins_with_one_more_step_of_mean_field(hidden):
    model = machine(hidden)
    x = BITS.random(12).double()
    made = model.to_classifier(7)
    means = model.mean_field(x.flatten(1))
    layers = model.layered()
    above = [*means, None]
    units, expected = x.flatten(1), []
    for number in range(1, len(hidden) + 1):
        neighbours = [None] * (len(hidden) + 1)
        neighbours[number - 1] = units
        if number < len(hidden):
            neighbours[number + 1] = above[number]
        units = layers.field(neighbours, number).sigmoid()
        expected.append(units)
    found = hidden_means(made, x)
    for ours, step, settled in zip(found, expected, means, strict=True):
        assert torch.allclose(ours, step, atol=1e-12)
        # settled means reproduce themselves
        assert torch.allclose(ours, settled, atol=1e-5)
        assert settled.std() > 0.05
    assert torch.allclose(made.log_odds(x), made.label(found[-1]), atol=1e-12)
    assert torch.equal(made.log_odds(x), made(made.inputs(x)))
    with pytest.raises(ValueError, match="log_odds"):
        made(x)


def test_what_finds_the_means_learns_nothing_and_all_else_does():
    x, labels = parity()
    model = machine((8, 6)).float()
    made = model.to_classifier(2, input_dropout=0.05)
    begun = {name: value.clone() for name, value in made.state_dict().items()}
    means = made.inputs(x)
    algorithm = Descend(CrossEntropy(), Optimiser(learning_rate=0.03, schedule="linear"))
    made.fit(x, labels, algorithm=algorithm, epochs=60, device="cpu")
    assert made.error_rate(x, labels) < 0.02
    assert torch.equal(made.inputs(x), means)
    for name, value in made.state_dict().items():
        assert torch.equal(value, begun[name]) == name.startswith("companion."), name
    assert {name for name, _ in made.named_parameters()} == {
        name for name in begun if not name.startswith("companion.")
    }
    for ours, theirs in zip(made.companion.layers.weights, model.weights, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.data_ptr() != theirs.data_ptr()


@torch.no_grad()
def test_a_machine_reads_grey_pictures_and_drops_both_inputs():
    made = machine().to_classifier(2, grey=True, input_dropout=0.5)
    assert made.space == spaces.Real((2, 3))
    x = torch.rand(4, 2, 3).double()
    assert torch.equal(made.predict_proba(x), made.eval().log_odds(x).softmax(1))
    made.train()
    for part in made.layers[0], *made.downs:
        assert not torch.allclose(made.log_odds(x), made.log_odds(x))
        part.weight.zero_()
    # nothing that comes in is left: what dropout leaves out makes no difference
    assert torch.equal(made.log_odds(x), made.log_odds(x))


def test_a_machine_and_its_classifier_are_saved_together(tmp_path):
    made = machine((4, 3, 5)).float().to_classifier(3, dropout=0.2).eval()
    made.save(tmp_path)
    again = SigmoidClassifier.load(tmp_path)
    x = BITS.random(6)
    assert torch.equal(made.predict_proba(x), again.predict_proba(x))
    assert torch.equal(made.inputs(x), again.inputs(x))
    with torch.no_grad():
        again.companion.get_buffer("weights_2").add_(1.0)
    assert not torch.equal(made.predict_proba(x), again.predict_proba(x))


def test_impossible_machines_are_refused():
    with pytest.raises(ValueError, match="num_classes"):
        machine().to_classifier(1)
    with pytest.raises(ValueError, match="input_dropout"):
        machine().to_classifier(2, input_dropout=1.0)
    with pytest.raises(ValueError, match="two hidden layers"):
        SigmoidClassifier(BITS, 3, (4,), num_mean_field=5)
    with pytest.raises(ValueError, match="num_mean_field"):
        SigmoidClassifier(BITS, 3, (4, 3), num_mean_field=0)
    with pytest.raises(ValueError, match="num_mean_field"):
        SigmoidClassifier(BITS, 3, (5, 4)).begin(machine().layered())
    with pytest.raises(ValueError, match="x is not in"):
        machine().float().to_classifier(3).predict(torch.rand(2, 3, 3))


def test_all_layers_are_fine_tuned():
    x, labels = parity()
    made = network(hidden=(8, 6)).to_classifier(2).float()
    before = [p.detach().clone() for p in made.parameters()]
    algorithm = Descend(CrossEntropy(), Optimiser(learning_rate=0.03, schedule="linear"))
    made.fit(x, labels, algorithm=algorithm, epochs=60, device="cpu")
    assert made.error_rate(x, labels) < 0.02
    assert torch.equal(made.predict(x) != labels, made.predict_proba(x).argmax(1) != labels)
    for old, new in zip(before, made.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_it_learns_in_bfloat16_with_losses_in_float32():
    x, labels = parity()
    made = network(hidden=(8, 6)).to_classifier(2).float()
    seen = []

    class Watch(Callback):
        def after_step(self, run, info):
            seen.append((info["loss"].dtype, info["error_rate"].dtype))

    algorithm = Descend(CrossEntropy(), Optimiser(learning_rate=0.03, schedule="linear"))
    settings = {"algorithm": algorithm, "epochs": 60, "device": "cpu"}
    made.fit(x, labels, precision="bf16", callbacks=[Watch()], **settings)
    assert set(seen) == {(torch.float32, torch.float32)}
    assert made.error_rate(x, labels) < 0.02
    plain = network(hidden=(8, 6)).to_classifier(2).float().fit(x, labels, **settings)
    assert not torch.equal(plain.label.weight, made.label.weight)
    with pytest.raises(ValueError, match="precision must be"):
        made.fit(x, labels, precision="float8")


@torch.no_grad()
def test_answers_are_probabilities_without_dropout():
    torch.manual_seed(0)
    made = stiffen(SigmoidClassifier(BITS, 3, (6,), dropout=0.5, input_dropout=0.2), 2.0)
    x = BITS.random(5)
    made.train()
    assert not torch.equal(made(x), made(x))
    found = made.predict_proba(x)
    assert made.training
    assert torch.allclose(found.sum(1), torch.ones(5))
    assert torch.equal(found, made.predict_proba(x))
    units = made.layers[0](x.flatten(1)).sigmoid()
    assert torch.allclose(found, made.label(units).softmax(1), atol=1e-6)


def test_grey_pictures_are_read_as_means_of_bits():
    model = network()
    made = model.to_classifier(2, grey=True).double()
    assert made.space == spaces.Real((2, 3))
    x = BITS.random(4).double()
    assert torch.equal(made.predict_proba(x), made(x).softmax(1))
    made.predict(0.5 * x)
    with pytest.raises(ValueError, match="grey"):
        network(PLANE).to_classifier(2, grey=True)


def test_cross_entropy_is_minus_log_p_of_the_label():
    made = stiffen(SigmoidClassifier(BITS, 3, (6,)).double(), 2.0).eval()
    x, labels = BITS.random(5).double(), torch.tensor([0, 2, 1, 1, 0])
    info = CrossEntropy()(made, Batch(x, labels))
    chosen = made.predict_proba(x)[torch.arange(5), labels]
    assert info["loss"].item() == pytest.approx(-chosen.log().mean().item())
    assert info["error_rate"].item() == pytest.approx(made.error_rate(x, labels))
    with pytest.raises(ValueError, match="no labels"):
        CrossEntropy()(made, Batch(x))


def test_saved_and_loaded_it_answers_the_same(tmp_path):
    made = network(PLANE, (5, 4)).to_classifier(3, dropout=0.3).float().eval()
    made.save(tmp_path / "a")
    again = SigmoidClassifier.load(tmp_path / "a")
    x = torch.randn(6, 4)
    assert torch.equal(made.predict_proba(x), again.predict_proba(x))
    assert again.dropout.p == 0.3
    assert not again.training
    SigmoidClassifier(BITS, 3, (6,)).save(tmp_path / "b")
    (tmp_path / "a" / "config.json").write_bytes((tmp_path / "b" / "config.json").read_bytes())
    with pytest.raises(ValueError, match="do not belong together"):
        SigmoidClassifier.load(tmp_path / "a")
    network(BITS).save(tmp_path / "c")
    with pytest.raises(ValueError, match="DeepBeliefNetwork"):
        SigmoidClassifier.load(tmp_path / "c")
    with pytest.raises(ValueError, match="no classifier"):
        SigmoidClassifier.load(tmp_path / "d")


def test_a_run_that_was_cut_ends_with_the_same_weights(tmp_path):
    class Cut(Callback):
        def after_step(self, run, info):
            if run.progress.step == 3:
                run.save(tmp_path / "cut.safetensors")

    x, labels = parity(200)
    two = spaces.Categorical((), 2)
    source = Tensors(x, BITS, condition=labels, condition_space=two)
    ends = []
    for resume in (None, tmp_path / "cut.safetensors"):
        torch.manual_seed(0)
        made = SigmoidClassifier(BITS, 2, (6,), dropout=0.5)
        run(
            made,
            source,
            made.algorithm(),
            budget=Budget(steps=6),
            callbacks=[Cut()] if resume is None else [],
            device="cpu",
            resume=resume,
        )
        ends.append(made.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="space"):
        SigmoidClassifier(LABELS, 3)
    with pytest.raises(ValueError, match="num_classes"):
        SigmoidClassifier(BITS, 1)
    with pytest.raises(ValueError, match="hidden"):
        SigmoidClassifier(BITS, 3, ())
    for name in ("dropout", "input_dropout"):
        with pytest.raises(ValueError, match=name):
            SigmoidClassifier(BITS, 3, (4,), **{name: 1.0})
    made = SigmoidClassifier(BITS, 3, (4,))
    x = BITS.random(4)
    for labels in (torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 2]), torch.eye(4)):
        with pytest.raises(ValueError, match="labels"):
            made.fit(x, labels, epochs=1)
    with pytest.raises(ValueError, match="budget or epochs"):
        made.fit(x, [0, 1, 2, 0], epochs=1, budget=Budget(epochs=1))

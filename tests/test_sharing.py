"""Sharing: a local folder works offline; the hub receives the same three files."""

import json

import huggingface_hub
import pytest
import torch

import genus
from genus.models import sharing


@pytest.fixture
def model():
    x = torch.randn(200, 5) @ torch.randn(5, 5)
    return genus.models.PPCA(genus.Real((5,)), num_components=2).fit(x)


def same(first, second):
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_folder_works_offline(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = genus.push(model, tmp_path / "shared")
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
    }
    assert same(genus.load(place), model)
    assert same(genus.pull(place), model)
    assert same(sharing.load(place, cls=genus.models.PPCA), model)


def test_the_card_says_what_it_is_and_how_to_use_it(model, tmp_path):
    run = tmp_path / "run"
    model.save(
        run,
        recipe="ppca",
        settings={"num_components": 2},
        data={"name": "points", "source": "/home/someone/private/points.npy"},
    )
    record = {
        "metrics": {"log_likelihood": {"value": -7.25, "sign": "=", "standard_error": 0.03125}}
    }
    (run / "evaluation.json").write_text(json.dumps(record))
    (run / "training.safetensors").write_bytes(b"large")
    genus.push(run, tmp_path / "shared")
    card = (tmp_path / "shared/README.md").read_text()
    for part in (
        "library_name: genus",
        "# ppca",
        "trained on points",
        "genus.load(",
        "log_prob",
        "nats, exact",
        "| log_likelihood | = | -7.25 | 0.031 |",
        '{"num_components": 2}',
    ):
        assert part in card
    everything = "".join(
        path.read_bytes().decode("latin1") for path in (tmp_path / "shared").iterdir()
    )
    assert "someone" not in everything
    assert not (tmp_path / "shared/training.safetensors").exists()
    assert same(genus.load(tmp_path / "shared"), model)


def test_a_card_without_figures_says_so(model):
    assert "No figures were measured" in sharing.model_card(model, {"class": "PPCA"})


def test_the_hub_receives_and_returns_the_files(model, tmp_path, monkeypatch):
    """The hub is played by a folder: what is sent arrives, what is fetched was sent."""
    hub = tmp_path / "hub"
    calls = []

    class Api:
        def __init__(self, **options):
            pass

        def create_repo(self, repository, *, private, exist_ok):
            calls.append((repository, private, exist_ok))

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            target = hub / repo_id
            target.mkdir(parents=True)
            for file in sharing.Path(folder_path).iterdir():
                (target / file.name).write_bytes(file.read_bytes())
            return f"https://hub/{repo_id}"

    def fetch(repository, *, revision, allow_patterns, library_name):
        assert "*.bin" not in allow_patterns
        if not (hub / repository).exists():
            raise OSError(f"no repository {repository}\nsecond line")
        return str(hub / repository)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert genus.push(model, "hf://me/mine", private=True) == "https://hub/me/mine"
    assert calls == [("me/mine", True, True)]
    assert same(genus.load("hf://me/mine"), model)
    with pytest.raises(ValueError, match=r"cannot fetch hf://me/yours: no repository me/yours$"):
        genus.load("hf://me/yours")


@pytest.mark.parametrize("place", ["hf://name", "hf://a/b/c", "hf://", "hf:///b"])
def test_a_hub_address_has_an_owner_and_a_name(model, place):
    with pytest.raises(ValueError, match="hf://owner/name"):
        genus.load(place)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json"):
        genus.push(tmp_path, tmp_path / "shared")
    assert not (tmp_path / "shared").exists()

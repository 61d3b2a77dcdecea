import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_generator():
    """Each test starts from the same global generator, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def cheap_features(request, monkeypatch):
    """Inception takes minutes where it is installed: only its own tests may choose it."""
    if "inception" not in request.node.nodeid:
        from genus.evaluation import inception

        monkeypatch.setattr(inception, "is_installed", lambda: False)

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_generator():
    """Each test starts from the same global generator, whatever ran before."""
    torch.manual_seed(0)

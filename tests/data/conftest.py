import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def lonely(monkeypatch, tmp_path_factory):
    """No test sees the user's cache or data path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    shared = os.environ.get("GENUS_DATA")
    monkeypatch.delenv("GENUS_DATA", raising=False)
    return shared


@pytest.fixture
def shared(lonely):
    """The folder of the publishers' files, where this machine has it."""
    for place in (lonely, ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "mnist").is_dir():
            return Path(place)
    pytest.skip("the publishers' files are not here; set GENUS_DATA to their folder")

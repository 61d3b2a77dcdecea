"""The learning curves of a run as a picture."""

import json

import pytest
from PIL import Image

from genus.report.curves import _panels, _points, save_curves


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ENERGIES = [
    {"step": 10 * i, "free_energy_train": -i, "free_energy_valid": -i / 2, "free_energy_gap": i / 2}
    for i in range(3)
]


@pytest.mark.parametrize(
    ("rows", "titles"),
    [
        ([{"step": i, "loss": 1.0 / i} for i in (1, 2, 3)], ["loss"]),
        ([{"step": i, "critic_loss": 1.0, "generator_loss": i} for i in (1, 2)], ["loss"]),
        (
            [{"step": i, "loss": 1, "reconstruction": 2} for i in (1, 2)] + ENERGIES,
            [
                "loss",
                "reconstruction error",
                "mean free energy (nats)",
                "free energy, valid less train (nats)",
            ],
        ),
        ([{"step": 1, "loss": 1.0}], []),
        ([], []),
    ],
)
def test_what_is_drawn(rows, titles, tmp_path):
    assert [title for title, _ in _panels(rows)] == titles
    drawn = save_curves(write(tmp_path / "log.jsonl", rows), tmp_path / "curves.png")
    assert drawn == bool(titles) == (tmp_path / "curves.png").exists()
    if drawn:
        picture = Image.open(tmp_path / "curves.png").convert("L")
        assert len(set(picture.getdata())) > 20


def test_both_players_and_both_parts_share_a_plot():
    rows = [{"step": i, "critic_loss": 1.0, "generator_loss": i} for i in (1, 2)]
    assert _panels(rows + ENERGIES) == [
        ("loss", ("critic_loss", "generator_loss")),
        ("mean free energy (nats)", ("free_energy_train", "free_energy_valid")),
        ("free energy, valid less train (nats)", ("free_energy_gap",)),
    ]


def test_points_that_are_not_finite_are_left_out():
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}, {"step": 3}]
    assert _points(rows, "loss") == [(1, 2.0)]


def test_without_a_log_nothing_is_drawn(tmp_path):
    assert not save_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")

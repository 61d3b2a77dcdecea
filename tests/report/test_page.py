import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from genus.compare.table import notes
from genus.engine import checkpoint
from genus.report import words, write_page
from genus.report.columns import COLUMNS, number
from genus.report.curve import learning_curve, read_log, trade_off
from genus.report.grids import grid, png

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
SAFE = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def row(family: str, **figures: object) -> dict[str, object]:
    plain = {
        "model": family.upper(),
        "family": family,
        "status": "done",
        "density": "exact",
        "log_likelihood": -84.25,
        "log_likelihood_sign": "=",
        "space": "binary",
        "log_likelihood_standard_error": 0.5,
        "bits_per_dim": 0.155,
        "bits_per_dim_sign": "=",
        "fid": 12.0,
        "fid_floor": 1.1,
        "samples_per_second": 250.0,
        "parameters": 1_200_000,
    }
    return {**plain, **figures}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    rows = [
        row("made"),
        row("vae", density="lower bound", log_likelihood_sign=">=", samples_per_second=9000.0),
        row("gan", density="none", log_likelihood=None, log_likelihood_sign="none", fid=5.0),
        row(
            "rbm",
            status="failed",
            reason="<script>alert(1)</script>",
            density=None,
            log_likelihood=None,
            fid=None,
            samples_per_second=None,
        ),
    ]
    for family in ("made", "vae", "gan"):
        folder = tmp_path / "runs" / family / "pictures"
        folder.mkdir(parents=True)
        checkpoint.write_bytes(folder / "samples.png", png(grid(torch.rand(9, 1, 5, 4), 3)))
        lines = [json.dumps({"step": s, "seconds": s / 7, "loss": 100 / s}) for s in range(1, 400)]
        (folder.parent / "log.jsonl").write_text("\n".join(lines) + "\n")
    return write_page(tmp_path, rows, data="mnist", budget="60 s", seed=0)


def test_both_languages_have_the_same_keys_and_the_page_uses_no_other() -> None:
    found = words()
    assert found["en"].keys() == found["zh"].keys()
    assert all(text.strip() for texts in found.values() for text in texts.values())
    for column in COLUMNS:
        assert f"column.{column.key}" in found["en"]
        assert f"help.{column.key}" in found["en"]


def test_every_label_is_translated(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    used = set(re.findall(r'data-t(?:itle)?="([^"]+)"', text))
    assert used <= words()["en"].keys()
    assert {"page.table", "chart.title", "legend.bound", "status.failed", "picture.curve"} <= used
    assert "<!--" not in text


def test_the_page_is_one_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "http" not in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert text.count("data:image/png;base64,") == 3
    assert text.count("<polyline") == 3


def test_reasons_are_text_not_markup(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_signs_are_printed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "= −84.2 ± 0.5" in text
    assert "≥ −84.2 ± 0.5" in text
    assert '<span data-t="density.none">none</span>' in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_browser_shows_every_picture_and_sorts(page: Path, tmp_path: Path, language) -> None:
    check = """
<script>
addEventListener("load", () => {
  const broken = [...document.images].filter((i) => !i.naturalWidth).length;
  const heading = document.querySelector('[data-t="column.fid"]').closest("th");
  heading.querySelector("button").click();
  const order = [...document.querySelectorAll(".scroll tbody tr")].map((r) => r.cells[0].innerText);
  document.title = JSON.stringify([document.images.length, broken, order,
    document.documentElement.lang, document.querySelector("h2").innerText]);
});
</script></body>"""
    probe = page.with_name("probe.html")
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", check), encoding="utf-8")
    command = [
        CHROMIUM,
        *SAFE,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        f"{probe.as_uri()}?language={language}",
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    title = re.search(r"<title>(.*?)</title>", found.stdout)
    assert title is not None
    count, broken, order, lang, heading = json.loads(title[1])
    assert (count, broken) == (3, 0)
    assert order == ["GAN", "MADE", "VAE", "RBM"]
    assert lang == {"en": "en", "zh": "zh-CN"}[language]
    assert heading == words()[language]["chart.title"]


def test_numbers() -> None:
    assert number(None) == "–"
    assert number(-0.01234) == "−0.0123"
    assert number(123456.0) == "123,456"
    assert number(2.0e-7) == "2.0e-07"


def test_grid_lays_pictures_row_by_row() -> None:
    x = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 1, 2, 3) / 4
    found = grid(x, 2)
    assert found.shape == (3 * 2 + 2 * 2, 2 * 3 + 2, 3)
    assert found[0, 0, 0] == 0
    assert found[0, 5, 0] == 64
    assert found[4, 0, 0] == 128
    assert found[8, 0, 0] == 255
    colours = grid(torch.tensor([1.0, 0.0, 0.5]).reshape(1, 3, 1, 1), 1)
    assert colours[0, 0].tolist() == [255, 0, 128]


def test_the_log_is_read_by_what_it_reports(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows = [{"seconds": i, "loss": 2.0, "critic_loss": i, "generator_loss": -i} for i in range(5)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert list(read_log(path)) == ["critic_loss", "generator_loss"]
    assert read_log(tmp_path / "none") == {}
    assert learning_curve({}) == ""


def test_the_chart_needs_two_models() -> None:
    assert trade_off([row("made")]) == ""
    assert trade_off([row("made"), row("vae")]).count("<circle") == 2


def test_the_number_of_test_examples_is_said_for_every_row(tmp_path: Path) -> None:
    rows = [
        row("made", log_likelihood_examples=2000, hardware="16 cores", log_likelihood_reverse=-86),
        row("vae", log_likelihood_examples=500),
        row("gan", log_likelihood=None, log_likelihood_sign="none"),
    ]
    text = write_page(tmp_path, rows, data="mnist", budget="60 s", seed=0).read_text("utf-8")
    assert "MADE 2,000, VAE 500</li>" in text
    assert '<span data-t="figure.log_likelihood_examples">' in text
    assert '<span data-t="figure.hardware">hardware</span></th><td>16 cores' in text
    lines = notes(rows)
    assert any(line.endswith("MADE 2,000, VAE 500") for line in lines)
    assert any("the truth lies between, if the chains mix" in line for line in lines)
    for language, condition in (("en", "mix"), ("zh", "充分混合")):
        assert condition in words()[language]["legend.reverse"]

"""The tutorials: their code runs, both languages have the same, and their pictures are there."""

import re
from pathlib import Path

import pytest
import torch

TUTORIALS = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
PAGES = sorted(page.stem for page in TUTORIALS.glob("*.md") if ".zh-CN" not in page.name)


def text_of(name):
    return (TUTORIALS / name).read_text(encoding="utf-8")


def blocks(name, language):
    found = re.findall(rf"^```{language}\n(.*?)^```", text_of(name), flags=re.M | re.S)
    return [re.sub(r" *#.*", "", block) for block in found]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("language", ["python", "sh"])
def test_both_languages_have_the_same_code(page, language):
    english = blocks(f"{page}.md", language)
    assert english
    assert english == blocks(f"{page}.zh-CN.md", language)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("ending", [".md", ".zh-CN.md"])
def test_pictures_are_there_and_small(page, ending):
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(page + ending))
    for link in links:
        assert (TUTORIALS / link).exists(), link
        assert (TUTORIALS / link).stat().st_size < 150_000, link


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_show_the_same_figures(page):
    """Numbers in tables and formulas; only words are translated."""
    english, chinese = (
        re.findall(r"[−\d][\d,.]*\d", text_of(page + e)) for e in (".md", ".zh-CN.md")
    )
    assert sorted({n for n in english if "." in n}) == sorted({n for n in chinese if "." in n})


def test_the_code_of_the_twos_runs(capsys):
    """As it stands but for one pass over the data in place of sixty."""
    names: dict[str, object] = {}
    torch.manual_seed(0)
    for block in blocks("rbm_twos.md", "python"):
        exec(block.replace("epochs=60", "epochs=1"), names)
    apart = re.findall(r"tensor\((\S+?),", capsys.readouterr().out)[0]
    assert float(apart) < 1e-4
    assert float(names["found"].lower.value.mean() - names["found"].upper.value.mean()) < 0.02
    assert names["picture"].shape == (50, 16, 16)
    assert names["again"].shape == names["partly"].shape == (10, 1, 16, 16)
    assert names["v"].shape == (10, 1, 16, 16)
    assert torch.equal(names["filled"][:, :, :8], names["test"][:10, :, :8])

"""Tutorials and guides: code that runs, the same in both languages, and pictures that exist."""

import re
from pathlib import Path

import pytest
import torch

import genus
from genus import objectives, recipes, spaces

DOCS = Path(__file__).resolve().parents[1] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
PAGES = ["boltzmann", *(f"tutorials/{p.stem}" for p in TUTORIALS if ".zh-CN" not in p.name)]
COMMANDS = [page for page in PAGES if page.startswith("tutorials/")]


def text_of(name):
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name, language):
    found = re.findall(rf"^```{language}\n(.*?)^```", text_of(name), flags=re.M | re.S)
    return [re.sub(r" *#.*", "", block) for block in found]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("language", ["python", "sh"])
def test_both_languages_have_the_same_code(page, language):
    english = blocks(f"{page}.md", language)
    assert english or (language == "sh" and page not in COMMANDS)
    assert english == blocks(f"{page}.zh-CN.md", language)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("ending", [".md", ".zh-CN.md"])
def test_pictures_are_there_and_small(page, ending):
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(page + ending))
    for link in links:
        target = (DOCS / page).parent / link
        assert target.exists(), link
        assert target.stat().st_size < 150_000, link


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
    for block in blocks("tutorials/rbm_twos.md", "python"):
        exec(block.replace("epochs=60", "epochs=1"), names)
    apart = re.findall(r"tensor\((\S+?),", capsys.readouterr().out)[0]
    assert float(apart) < 1e-4
    assert float(names["found"].lower.value.mean() - names["found"].upper.value.mean()) < 0.02
    assert names["picture"].shape == (50, 16, 16)
    assert names["again"].shape == names["partly"].shape == (10, 1, 16, 16)
    assert names["v"].shape == (10, 1, 16, 16)
    assert torch.equal(names["filled"][:, :, :8], names["test"][:10, :, :8])


def test_the_code_of_the_energy_wing_runs():
    """As it stands."""
    names: dict[str, object] = {}
    torch.manual_seed(0)
    for block in blocks("boltzmann.md", "python"):
        exec(block, names)
    gap = names["found"].upper.value.mean() - names["found"].lower.value.mean()
    assert abs(float(gap)) < 1
    assert names["dbm"].features(names["test"]).shape == (50, 26)
    # one in ten by chance: 50 answers are all wrong or nearly so less often than once in 100
    assert names["classifier"].error_rate(names["x"], names["labels"]) < 0.95


def test_what_the_energy_wing_names_is_there():
    """Every class, setting of units and recipe of its tables, in both languages."""
    for ending in (".md", ".zh-CN.md"):
        rows = [line for line in text_of(f"boltzmann{ending}").splitlines() if line[:1] == "|"]
        named = re.findall(r"`([^`]+)`", "\n".join(rows))
        classes = {name for name in named if re.fullmatch(r"[A-Z]\w+", name)}
        assert len(classes) > 12
        assert all(hasattr(genus.models, c) or hasattr(objectives, c) for c in classes)
        kinds = [name for name in named if name.startswith("RBM(")]
        assert len(kinds) == 4
        for kind in kinds:
            eval(kind, {**vars(spaces), "RBM": genus.models.RBM, "shape": (4,)})
        cooked = {name for name in named if re.fullmatch(r"[a-z]+(-\w+)*", name)}
        assert cooked
        assert cooked <= set(recipes.ENTRIES)

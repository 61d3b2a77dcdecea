"""The front pages: nothing left to fill in, links that lead somewhere, the same commands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "README.zh-CN.md")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> list[list[str]]:
    """The lines of every block of code, without comments, which are translated."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text_of(page), flags=re.MULTILINE | re.DOTALL)
    bare = [[re.sub(r"\s*#.*", "", line) for line in block.splitlines()] for block in blocks]
    return [[line for line in block if line] for block in bare]


@pytest.mark.parametrize("page", PAGES)
def test_no_placeholder_is_left(page: str) -> None:
    assert not re.findall(r"TABLE_EN|TABLE_ZH|TOTAL_MINUTES", text_of(page))


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(page))
    local = [link.partition("#")[0] for link in links if "://" not in link]
    assert local
    assert [link for link in local if link and not (ROOT / link).exists()] == []


def test_both_languages_have_the_same_commands() -> None:
    english, chinese = map(commands, PAGES)
    assert len(english) >= 3
    assert english == chinese

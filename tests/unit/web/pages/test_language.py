from __future__ import annotations

import re
from pathlib import Path

import pytest

from web.pages.language import LANGUAGES, choose_language, load_catalogues

WEB = Path(__file__).parents[4] / "web"


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        (None, "", "zh-CN"),
        (None, "en-US,en;q=0.9", "en"),
        (None, "zh-TW,zh;q=0.8,en;q=0.5", "zh-CN"),
        (None, "fr;q=1, en;q=0.4, zh;q=0.2", "en"),
        (None, "en;q=0, zh", "zh-CN"),
        (None, ";;;,,q=,en;q=x", "en"),
        ("en", "zh-CN", "en"),
        ("../../etc", "en", "en"),
    ],
)
def test_the_choice_wins_then_the_browser(cookie, header: str, language: str) -> None:
    assert choose_language(cookie, header) == language


def test_every_text_is_in_every_catalogue_with_the_same_values() -> None:
    catalogues = load_catalogues()
    first = catalogues[LANGUAGES[0]]
    for tag in LANGUAGES[1:]:
        other = catalogues[tag]
        assert first.keys() == other.keys()
        for key, text in first.items():
            assert text.strip() and other[key].strip(), key
            if not key.endswith(".one"):
                wanted = set(re.findall(r"{\w+}", text))
                assert wanted == set(re.findall(r"{\w+}", other[key])), key


def test_every_text_a_page_names_exists() -> None:
    keys = load_catalogues()["zh-CN"].keys()
    used = {
        key
        for path in [*WEB.glob("templates/*.html"), *WEB.glob("static/js/**/*.js")]
        for key in re.findall(r"""\bt\(["']([\w.-]+)["']""", path.read_text("utf-8"))
    }
    assert {key for key in used if key not in keys and not key.endswith(".")} == set()


def test_no_chinese_outside_the_catalogue() -> None:
    for path in [*WEB.glob("templates/*.html"), *WEB.glob("static/js/**/*.js")]:
        code = re.sub(r"/\*.*?\*/|//[^\n]*|{#.*?#}", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert not re.search(r"[\u4e00-\u9fff]", code), path

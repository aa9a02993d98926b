"""Joining ES modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import web
from web.pages.bundle import BundleError, bundle

STATIC = Path(web.__file__).parent / "static"
TEMPLATES = Path(web.__file__).parent / "templates"


def join(**modules: str) -> str:
    """Of modules `x`, each at `js/x.js`."""
    return bundle(lambda name: modules[name.removeprefix("js/").removesuffix(".js")], "js/main.js")


def test_each_part_comes_once_and_after_what_it_needs() -> None:
    text = join(
        main='import { a } from "./a.js";\nimport { b as c, d } from "./b.js";\na(c, d);\n',
        a='import { b } from "./b.js";\nexport function a() { return b; }\n',
        b="export const b = 1;\nexport class d {}\n",
    )
    assert [line for line in text.splitlines() if line.startswith("// ")] == [
        "// js/b.js",
        "// js/a.js",
        "// js/main.js",
    ]
    assert "const { b: c, d } = part0;" in text and "const { a } = part1;" in text
    assert "return { b, d };" in text and "return { a };" in text
    assert not re.search(r"^\s*(import|export)", text, re.MULTILINE)


def test_what_the_first_module_exports_the_whole_does() -> None:
    text = join(
        main='import { a } from "./a.js";\nexport const b = a;\nexport async function c() {}\n',
        a="export const a = 1;\n",
    )
    assert text.endswith("})();\nexport const { b, c } = part1;\n")
    assert "export" not in join(main="const a = 1;\n")


def test_names_may_stand_on_lines_of_their_own() -> None:
    text = join(
        main='import {\n  a,\n  b as c,\n} from "./a.js";\n', a="export const a = 1, b = 2;\n"
    )
    assert "const { a, b: c } = part0;" in text


def test_comments_with_lines_of_their_own_are_left_out() -> None:
    text = join(
        main="""/** Says
 * much. */
// more
const a = "// kept"; // kept too
/** @type {A} */ (a).b();
/** @param {B} c */
function d(c) {}
"""
    )
    assert "much" not in text and "more" not in text and "@param" not in text
    assert 'const a = "// kept"; // kept too\n/** @type {A} */ (a).b();\nfunction d(c) {}' in text


@pytest.mark.parametrize(
    "text",
    [
        "export default 1;",
        "export let a = 1;",
        "export { a };",
        'export { a } from "./b.js";',
        'import "./b.js";',
        'import * as b from "./b.js";',
        'import b from "./b.js";',
        "await fetch();",
        'import { a } from "./main.js";',
    ],
)
def test_what_is_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match=r"js/main\.js"):
        join(main=text + "\n", b="export const a = 1;\n")


def test_a_circle_is_refused() -> None:
    with pytest.raises(BundleError, match="itself"):
        join(
            main='import { a } from "./a.js";\n',
            a='import { b } from "./b.js";\nexport const a = b;\n',
            b='import { a } from "./a.js";\nexport const b = a;\n',
        )


def test_every_page_can_be_joined() -> None:
    pages = [path.read_text() for path in TEMPLATES.glob("*.html")]
    entries = {found for text in pages for found in re.findall(r'parts\.entry\("([^"]+)"\)', text)}
    entries |= {found for text in pages for found in re.findall(r'parts\.behind\("([^"]+)"', text)}
    assert len(entries) >= 8
    for entry in entries:
        text = bundle(lambda name: (STATIC / name).read_text(), entry)
        assert text.count("const part") >= 2 and "/** @param" not in text

from __future__ import annotations

from pathlib import Path

import pytest

from web.pages.assets import Assets
from web.pages.routes import _local


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    (tmp_path / "js").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "js/a.js").write_text('import { x } from "./b.js";\nimport "../lib/c.js";\n')
    (tmp_path / "js/b.js").write_text('export { y } from "../lib/c.js";\n')
    (tmp_path / "lib/c.js").write_text('import { x } from "../js/b.js"; // a circle\n')
    return Assets(tmp_path)


def test_the_digest_changes_with_any_file(assets: Assets, tmp_path: Path) -> None:
    assert Assets(tmp_path).digest == assets.digest
    (tmp_path / "lib/c.js").write_text("// changed\n")
    assert Assets(tmp_path).digest != assets.digest


def test_modules_are_listed_once_entry_first(assets: Assets) -> None:
    base = f"/static/{assets.digest}/"
    assert assets.modules("js/a.js") == [base + n for n in ("js/a.js", "js/b.js", "lib/c.js")]


def test_an_unknown_file_is_a_mistake(assets: Assets) -> None:
    with pytest.raises(KeyError):
        assets.url("js/none.js")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/room/a?b=1", "/room/a?b=1"),
        (None, "/"),
        ("", "/"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example", "/"),
        ("/a\r\nSet-Cookie: b", "/"),
    ],
)
def test_going_back_stays_on_this_server(target, path: str) -> None:
    assert _local(target) == path

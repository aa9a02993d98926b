from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from web.pages.assets import Assets
from web.pages.routes import _local


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    (tmp_path / "js").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "js/a.js").write_text('import { x } from "../lib/c.js";\n')
    (tmp_path / "lib/c.js").write_text("export const x = 1;\n")
    return Assets(tmp_path)


def browser(assets: Assets) -> TestClient[web.Request, web.Application]:
    app = web.Application()
    app.router.add_get("/static/{digest}/{name:.+}", assets.handle)
    return TestClient(TestServer(app))


def test_the_digest_changes_with_any_file(assets: Assets, tmp_path: Path) -> None:
    assert Assets(tmp_path).digest == assets.digest
    (tmp_path / "lib/c.js").write_text("// changed\n")
    assert Assets(tmp_path).digest != assets.digest


async def test_modules_come_as_one_or_by_themselves(assets: Assets) -> None:
    async with browser(assets) as client:
        for _ in range(2):
            answer = await client.get(assets.bundle("js/a.js"))
            assert (
                answer.content_type == "text/javascript"
                and "immutable" in answer.headers["Cache-Control"]
            )
            text = await answer.text()
            assert "const x = 1;" in text and "import" not in text
        assert "import" in await (await client.get(assets.url("js/a.js"))).text()
        for name in ("bundle/js/none.js", "bundle/bundle/js/a.js", "bundle/../../x.js", "bundle/"):
            assert (await client.get(f"/static/x/{name}")).status == 404


async def test_others_code_keeps_its_address_when_ours_changes(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor/client.js").write_text("a;\n")
    (tmp_path / "ours.js").write_text("b;\n")
    before = Assets(tmp_path)
    (tmp_path / "ours.js").write_text("c;\n")
    after = Assets(tmp_path)
    assert before.url("ours.js") != after.url("ours.js")
    assert before.url("vendor/client.js") == after.url("vendor/client.js")
    async with browser(after) as client:
        answer = await client.get(after.url("vendor/client.js"))
        assert "immutable" in answer.headers["Cache-Control"]
    (tmp_path / "vendor/client.js").write_text("d;\n")
    assert Assets(tmp_path).url("vendor/client.js") != after.url("vendor/client.js")


async def test_what_cannot_be_joined_is_not_found(tmp_path: Path) -> None:
    for folder in ("js", "vendor"):
        (tmp_path / folder).mkdir()
    (tmp_path / "js/a.js").write_text('import { x } from "./gone.js";\n')
    (tmp_path / "js/b.js").write_text("export default 1;\n")
    (tmp_path / "vendor/c.js").write_text("c;\n")
    async with browser(Assets(tmp_path)) as client:
        for name in ("js/a.js", "js/b.js", "vendor/c.js"):
            assert (await client.get(f"/static/x/bundle/{name}")).status == 404


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

"""Static files over HTTP: how they are packed, and what stands around them."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from web.pages.assets import Assets
from web.server.app import build_app

ASSETS = web.AppKey("assets", Assets)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TestClient[Any, Any]]:
    (tmp_path / "css").mkdir()
    (tmp_path / "css/a.css").write_text("a {}\n")
    (tmp_path / "css/b.css").write_text("b {}\n")
    (tmp_path / "big.js").write_text("1;" * 1000)
    (tmp_path / "big.js.br").write_bytes(b"packed")
    (tmp_path / "sign.svg").write_text("<svg/>")
    assets = Assets(tmp_path)

    def add_static(app: web.Application) -> None:
        app.router.add_get("/static/{digest}/{name:.+}", assets.handle)
        app[ASSETS] = assets

    app = build_app([], [add_static], is_behind_proxy=False)
    async with TestClient(TestServer(app), auto_decompress=False) as made:
        yield made


async def test_style_sheets_come_as_one_in_their_order(client: TestClient[Any, Any]) -> None:
    url = client.app[ASSETS].sheet(["b", "a"])
    assert url.endswith("/css/b+a.css")
    answer = await client.get(url, headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(await answer.read()) == b"b {}\na {}\n"
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    with pytest.raises(KeyError):
        client.app[ASSETS].sheet(["a", "none"])


@pytest.mark.parametrize(
    "name", ["css/a+none.css", "css/a+../big.js.css", "css/" + "a+" * 12 + "a.css", "css/+.css"]
)
async def test_no_other_files_come_that_way(client: TestClient[Any, Any], name: str) -> None:
    assert (await client.get(f"/static/x/{name}")).status == 404


@pytest.mark.parametrize(
    ("accepts", "encoding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip, deflate", "gzip"), ("identity", None)],
)
async def test_who_can_unpack_it_gets_the_smaller_file(
    client: TestClient[Any, Any], accepts: str, encoding: str | None
) -> None:
    answer = await client.get("/static/x/big.js", headers={"Accept-Encoding": accepts})
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert (await client.get("/static/x/big.js.br")).status == 404


async def test_only_what_is_shown_on_its_own_has_the_policies_of_documents(
    client: TestClient[Any, Any],
) -> None:
    for name, is_document in (("big.js", False), ("css/a+b.css", False), ("sign.svg", True)):
        headers = (await client.get(f"/static/x/{name}")).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert ("Content-Security-Policy" in headers) is is_document, name
    assert "Content-Security-Policy" in (await client.get("/static/x/none.js")).headers

"""Two walks to one store: what the first has shown of its line is told before the second."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser
from testkit.axe import violations
from testkit.people import Host, OpenPerson, open_people
from testkit.server import AislecastServer
from testkit.weak_phone import LAYERS, LINE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(200)]

STORE = "虹桥店"
# Six minutes out of seconds: every third sample as it was measured, the others of a good line.
_LONGER = """
WITH RECURSIVE minute(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM minute WHERE n < 36)
INSERT OR IGNORE INTO line_samples (
    person, at_s, up_kbps, up_loss_permille, up_fps, down_kbps, down_loss_permille, rtt_ms,
    estimate_kbps, step, is_lost, resumes, load_percent, up_step
)
SELECT person, at_s - 10 * n, up_kbps, 0, 8, down_kbps, 0, 60, estimate_kbps, step, 0, 0, 10,
    CASE WHEN n % 3 = 0 THEN up_step ELSE 'full' END
FROM (SELECT * FROM line_samples WHERE up_step = 'slow' ORDER BY at_s DESC LIMIT 1), minute
"""


@pytest.fixture
def own_server(tmp_path: Path) -> AislecastServer:
    return AislecastServer(tmp_path / "data")


@pytest_asyncio.fixture(loop_scope="session")
async def people(own_server: AislecastServer, browser: Browser) -> AsyncIterator[OpenPerson]:
    with own_server:
        async with open_people(own_server, browser) as make:
            yield make


async def ask_for_walk(host: Host) -> str:
    """Ask somebody to walk the store, as HQ does on the home page; returns the link."""
    await host.page.click("#start-walk")
    await host.page.wait_for_selector(".invite-code img")
    async with host.page.expect_response(lambda answer: answer.request.method == "PATCH"):
        await host.page.fill("#invite-store", STORE)
    return await host.page.input_value("dialog .invite-link")


async def until_measured(data: Path) -> None:
    """Wait until a sample tells that the picture did not fit."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        with sqlite3.connect(data / "aislecast.sqlite3") as database:
            (count,) = database.execute(
                "SELECT count(*) FROM line_samples WHERE up_step = 'slow'"
            ).fetchone()
        if count:
            return
        time.sleep(0.5)
    raise AssertionError("no sample says that the line was slow")


async def test_a_second_walk_to_a_store_is_told_how_its_line_is(
    people: OpenPerson, own_server: AislecastServer
) -> None:
    host, rep = await people(Host), await people(phone=True)
    await host.sign_in()
    link = await ask_for_walk(host)
    assert await host.page.locator("dialog .notice:visible").count() == 0, "nothing is known yet"
    await host.page.click("dialog a.wide")
    await host.page.fill("#name", "李经理")
    await host.tap("#enter")
    await host.until_in()
    first_room = host.page.url
    await rep.page.add_init_script(LINE)
    await rep.goto(link)
    assert STORE in await rep.page.inner_text("h1")
    assert await rep.page.locator("#usual").count() == 0
    assert not await rep.page.is_visible("#enter-shelf")
    await rep.page.fill("#name", "王芳")
    await rep.tap("#enter")
    await rep.until_in()
    await host.until_seen('.tile[data-kind="walk"] video')
    await rep.page.evaluate("carriesBps = 100_000")
    await rep.page.wait_for_selector('#quality[data-level="1"]')
    await until_measured(own_server.data)
    await rep.tap("#end")
    await host.goto("/")

    own_server.stop()
    with sqlite3.connect(own_server.data / "aislecast.sqlite3") as database:
        database.execute(_LONGER)
    own_server.start()

    await host.sign_in()
    await host.page.click("#start-walk")
    offered = await host.page.wait_for_selector("#invite-stores option", state="attached")
    assert await offered.get_attribute("value") == STORE
    await host.page.keyboard.press("Escape")
    link = await ask_for_walk(host)
    told = "平时：网络较弱，建议用货架模式，价签更清楚"
    await host.page.wait_for_selector(f"dialog .notice:has-text('{told}')")
    assert await violations(host.page) == []
    assert await host.page.get_attribute("dialog a.wide", "href") not in first_room
    await rep.goto(link)
    # Whoever has no name yet sees where to write it, above the buttons.
    await rep.tap("#not-me")
    boxes = [await rep.page.locator(one).bounding_box() for one in ("#name", ".entrance-bottom")]
    assert boxes[0] and boxes[1] and boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
    assert await rep.page.inner_text("#usual") == f"这里{told}"
    assert await violations(rep.page) == []
    await rep.tap("#enter-shelf")
    await rep.until_in()
    await rep.until(f"() => globalThis.filmed && JSON.stringify(({LAYERS})()) === '[[\"f\",8]]'")

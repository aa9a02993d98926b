"""A phone on a weak line: its sender steps down and up by itself; shelf mode is sharp and slow."""

from __future__ import annotations

import time

import pytest
from playwright.async_api import Route
from testkit.axe import violations
from testkit.people import Host, OpenPerson, Person
from testkit.weak_phone import LAYERS, LINE

pytestmark = pytest.mark.asyncio(loop_scope="session")

_KEEP_SAID = """
addEventListener("DOMContentLoaded", () => {
  globalThis.said = [];
  const line = document.querySelector("#line");
  const keep = () => { if (said.at(-1) !== line.textContent) said.push(line.textContent); };
  new MutationObserver(keep).observe(line, { childList: true, characterData: true, subtree: true });
});
"""
_RUNGS = """
async () => {
  const { RungWords } = await import("/static/x/js/uplink/words.js");
  return new RungWords({ setSent: () => {} }, "uplink");
}
"""
_LADDER = """
async (script) => {
  const { UplinkLadder } = await import("/static/x/js/uplink/ladder.js");
  const ladder = new UplinkLadder("reduced");
  const told = [];
  let nowMs = 0;
  for (const [seconds, sample] of script) {
    for (let second = 0; second < seconds; second += 1) {
      nowMs += 1000;
      const before = ladder.rung;
      const line = { availableBps: null, loss: 0, rttMs: 80, isLost: false, ...sample };
      const after = ladder.update(nowMs, line);
      if (after !== before) told.push([nowMs / 1000, after]);
    }
  }
  return told;
}
"""
_SWITCH = """
async ([rungs, subject]) => {
  const { LayerSwitch, layersOf } = await import("/static/x/js/uplink/encodings.js");
  const published = [
    { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 90_000, maxFramerate: 8 },
    { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 320_000, maxFramerate: 15 },
    { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_300_000, maxFramerate: 20 },
  ];
  let present = published.map((layer) => ({ ...layer, active: true }));
  const layers = new LayerSwitch();
  return rungs.map(([rung, server]) => {
    for (const layer of present) layer.active = server[layer.rid] ?? layer.active;
    present = layers.merge(present, layersOf(published, rung, subject)) ?? present;
    const isCalm = layers.merge(present, layersOf(published, rung, subject)) === null;
    return present.filter((one) => one.active).map((one) => one.rid).join("") + (isCalm ? "" : "!");
  });
}
"""


async def start_walk(host: Host, person: OpenPerson, *scripts: str) -> Person:
    """A rep whose line is in our hands walks the store."""
    rep = await person(phone=True)
    for script in (LINE, *scripts):
        await rep.page.add_init_script(script)
    await rep.enter(await host.invite("walker", "王芳"))
    return rep


async def answer_weak(route: Route) -> None:
    """What the check says of a line for shelf mode."""
    weak = {"grade": "weak", "advice": "shelf_first", "limit": "up", "usual": None}
    await route.fulfill(json=weak)


async def test_down_at_once_to_what_fits_and_up_with_patience(person) -> None:
    phone = await person(phone=True)
    await phone.goto("/")
    told = await phone.page.evaluate(
        _LADDER,
        [
            [8, {"availableBps": 900_000}],
            [2, {"availableBps": 100_000}],  # one bad moment is none
            [20, {"availableBps": 900_000}],
            [8, {"availableBps": 100_000}],
            [6, {"availableBps": 30_000}],
            [12, {"availableBps": 400_000}],
        ],
    )
    assert [rung for _, rung in told] == ["full", "slow", "sound", "slow", "reduced"]
    at_s = {rung: second for second, rung in reversed(told)}
    assert at_s["full"] <= 7
    assert at_s["slow"] - 30 <= 5
    assert at_s["sound"] - 38 <= 5


async def test_a_rung_that_does_not_hold_is_tried_less_and_less(person) -> None:
    phone = await person(phone=True)
    await phone.goto("/")
    # The line looks wide until a picture is on it: that is what a bad hotspot does.
    tries = await phone.page.evaluate(
        """async () => {
          const { UplinkLadder } = await import("/static/x/js/uplink/ladder.js");
          const ladder = new UplinkLadder("reduced");
          const tries = [];
          for (let second = 0; second < 400; second += 1) {
            const before = ladder.rung;
            const line = { availableBps: 30_000, loss: 0, rttMs: 80, isLost: false };
            const after = ladder.update(second * 1000, line);
            if (after === "slow" && before === "sound") tries.push(second);
          }
          return tries;
        }"""
    )
    waits = [after - before for before, after in zip(tries, tries[1:], strict=False)]
    assert waits[0] >= 10
    assert waits == sorted(waits)
    assert waits[-1] >= 60


async def test_who_is_looked_at_by_nobody_is_not_on_a_weak_line(person) -> None:
    phone = await person(phone=True)
    await phone.goto("/")
    # Where nothing is sent, or a small layer alone, browsers stay at the rate they began with.
    idle = {"availableBps": 300_000, "wantedBps": 0}
    small = {"availableBps": 300_000, "wantedBps": 160_000}
    large = {"availableBps": 300_000, "wantedBps": 2_300_000}
    full = [10, {"availableBps": 900_000}]
    told = await phone.page.evaluate(_LADDER, [full, [20, idle], [20, small], [5, large]])
    assert [rung for _, rung in told] == ["full", "reduced"] and told[-1][0] > 50


async def test_a_face_gets_small_where_a_shelf_stays_sharp(person) -> None:
    phone = await person(phone=True)
    await phone.goto("/")
    steps = [["full", {}], ["reduced", {}], ["slow", {}], ["sound", {}], ["slow", {}], ["full", {}]]
    for subject, layers in (
        ("face", ["qhf", "qh", "q", "", "q", "qhf"]),
        ("walk", ["qhf", "qh", "f", "", "f", "qhf"]),
        ("shelf", ["f", "f", "f", "", "f", "f"]),
    ):
        assert await phone.page.evaluate(_SWITCH, [steps, subject]) == layers


async def test_browsers_that_tell_no_rate_are_judged_by_loss_and_delay(person) -> None:
    phone = await person(phone=True)
    await phone.goto("/")
    told = await phone.page.evaluate(
        _LADDER, [[8, {}], [5, {"loss": 0.3}], [8, {"rttMs": 3000}], [90, {"loss": 0.01}]]
    )
    assert [rung for _, rung in told][:3] == ["full", "reduced", "slow"]
    assert told[-1][1] == "full"


async def test_what_the_server_switched_off_stays_off(person) -> None:
    phone = await person(phone=True)
    await phone.goto("/")
    steps = [
        ["full", {}],
        ["reduced", {}],
        ["full", {}],
        ["full", {"f": False}],  # nobody wants the top layer
        ["slow", {}],  # the one sharp layer stands for all
        ["full", {}],
        ["slow", {}],
        ["slow", {"q": False, "h": False, "f": False}],
        ["sound", {}],
        ["slow", {}],
    ]
    assert await phone.page.evaluate(_SWITCH, [steps, "walk"]) == [
        *("qhf", "qh", "qhf", "qh", "f", "qh", "f", "f", "", "f"),
    ]


async def test_shelf_mode_sends_one_sharp_slow_picture_and_back(host, person) -> None:
    rep = await start_walk(host, person)
    await rep.until(f"() => globalThis.filmed && ({LAYERS})().length > 1")
    await rep.tap("#more")
    await rep.tap(".menu-item:has-text('货架模式')")
    await rep.page.wait_for_selector("#line:has-text('价签更清楚')")
    await rep.until(f"() => JSON.stringify(({LAYERS})().map(([rid]) => rid)) === '[\"f\"]'")
    assert (await rep.page.evaluate(LAYERS))[0][1] <= 8
    assert await rep.page.evaluate("filmed.track.contentHint") == "text"
    await host.until_seen('.tile[data-kind="walk"] video')
    await rep.show_tools()
    await rep.tap("#more")
    await rep.tap(".menu-item:has-text('回到普通画面')")
    await rep.until(f"() => ({LAYERS})().length > 1")
    assert await rep.page.evaluate("filmed.track.contentHint") == "detail"


async def test_a_line_for_sound_only_says_so_and_the_picture_comes_back(host, person) -> None:
    rep = await start_walk(host, person)
    await host.until_seen('.tile[data-kind="walk"] video')
    await rep.page.evaluate("carriesBps = 30_000")
    await rep.page.wait_for_selector("#line:has-text('画面先传不出去，声音照常')")
    await rep.page.wait_for_selector('#quality[data-level="0"]')
    assert await rep.page.evaluate(LAYERS) == []
    # HQ keeps the last picture, and is told how old it is.
    await host.page.wait_for_selector('.tile[data-kind="walk"] .tile-age:has-text("秒前")')
    assert await host.page.locator(".tile.dark-tile").count() == 0
    # The rep still sees what the camera sees, and the microphone is on.
    await rep.until_seen("#film")
    assert await rep.page.get_attribute("#microphone", "aria-pressed") == "true"
    await rep.page.evaluate("carriesBps = 2_000_000")
    await rep.page.wait_for_selector("#line:has-text('画面恢复了')", timeout=30_000)
    await rep.page.wait_for_selector('#quality[data-level="3"]')
    await host.until_seen('.tile[data-kind="walk"] video')
    await host.page.wait_for_selector('.tile[data-kind="walk"] .tile-age', state="hidden")
    assert rep.taps == 2


async def test_every_rung_has_its_own_words(host, person) -> None:
    rep = await start_walk(host, person, _KEEP_SAID)
    await rep.until(f"() => globalThis.filmed && ({LAYERS})().length === 3")
    assert await rep.page.evaluate("said.filter(Boolean)") == [], "a good start needs no words"
    for carries_bps, words, level in (
        (300_000, "网络有点弱，总部看到的画面小一些", 2),
        (100_000, "网络弱，总部看到的画面慢，但清楚", 1),
        (30_000, "网络很弱，画面先传不出去，声音照常", 0),
    ):
        await rep.page.evaluate("(bps) => { carriesBps = bps; }", carries_bps)
        await rep.until("(words) => said.at(-1) === words", words)
        await rep.page.wait_for_selector(f'#quality[data-level="{level}"]')
    assert len(await rep.page.evaluate("said.filter(Boolean)")) == 3


async def test_better_is_said_only_of_what_has_held(host, person) -> None:
    rep = await person(phone=True)
    await rep.page.add_init_script(_KEEP_SAID)
    await rep.page.clock.install()
    await rep.goto(await host.invite("walker", "王芳"))
    said = await rep.page.evaluate_handle(_RUNGS)
    steps = (
        ("sound", 1, "网络很弱，画面先传不出去，声音照常"),
        ("slow", 5, "网络很弱，画面先传不出去，声音照常"),  # a try that fails
        ("sound", 8, "网络很弱，画面先传不出去，声音照常"),
        ("slow", 7, "总部又能看到画面了，会慢一些"),
        ("reduced", 7, "网络好一些了，画面流畅了，还有点小"),
        ("full", 7, "网络好了，画面恢复了"),
        ("full", 7, ""),
    )
    for rung, seconds, words in steps:
        await said.evaluate("(words, rung) => words.change(rung, false)", rung)
        await rep.page.clock.run_for(seconds * 1000)
        assert await rep.page.text_content("#line") == words
    assert len(await rep.page.evaluate("said.filter(Boolean)")) == 4


async def test_in_shelf_mode_the_picture_gets_slower_not_smaller(host, person) -> None:
    rep = await person(phone=True)
    await rep.page.add_init_script(LINE)
    await rep.page.add_init_script(_KEEP_SAID)
    await rep.page.route("**/api/network-check/*/result", answer_weak)
    await rep.goto(await host.invite("walker", "王芳"))
    assert not await rep.page.is_visible("#enter-shelf"), "nobody has advised it"
    await rep.tap("#check")
    await rep.page.wait_for_selector("#check-words:has-text('建议用货架模式')", timeout=20_000)
    assert await violations(rep.page) == []
    await rep.tap("#enter-shelf")
    await rep.until_in()
    await rep.page.wait_for_selector("#line:has-text('价签更清楚')")
    await rep.until(f"() => globalThis.filmed && JSON.stringify(({LAYERS})()) === '[[\"f\",8]]'")
    assert await rep.page.evaluate("filmed.track.contentHint") == "text"
    await host.until_seen('.tile[data-kind="walk"] video')
    await rep.page.evaluate("carriesBps = 300_000")
    await rep.until("() => said.at(-1) === '网络有点弱，总部看到的画面慢一些'")
    await rep.show_tools()
    await rep.tap("#more")
    await rep.page.wait_for_selector(".menu-item:has-text('回到普通画面')")


async def test_hq_sees_and_reads_that_the_reps_line_is_too_slow(host, person) -> None:
    rep = await start_walk(host, person)
    await host.until_seen('.tile[data-kind="walk"] video')
    await rep.page.evaluate("carriesBps = 30_000")
    weak = '.tile[data-kind="walk"] .link-bars[data-level="1"]:has-text("网络有点弱")'
    await host.page.wait_for_selector(weak)
    path = f"/api/rooms/{host.room}/sessions"
    told = ""
    # Two samples of ten seconds make a cause; they are written every ten seconds.
    deadline_s = time.monotonic() + 60
    while told != "why.uplink.rate" and time.monotonic() < deadline_s:
        await host.page.wait_for_timeout(1000)
        for session in (await host.call("GET", path))["sessions"]:
            people = (await host.call("GET", f"{path}/{session['id']}/quality"))["people"]
            told = next((one["sentence"] for one in people if one["name"] == "王芳"), told)
    assert told == "why.uplink.rate"
    assert "王芳：网速不够，画面发不出来" in await host.ask_why("王芳")


async def test_a_phone_in_a_meeting_steps_down_and_up_too(host, person) -> None:
    guest = await person(phone=True)
    await guest.page.add_init_script(LINE)
    await guest.page.add_init_script(_KEEP_SAID)
    await guest.enter(await host.invite("guest", "张敏"))
    await host.until_tile("张敏")
    await guest.until(f"() => globalThis.filmed && ({LAYERS})().length === 3")
    assert await guest.page.evaluate("said.filter(Boolean)") == [], "a good start needs no words"
    await guest.page.evaluate("carriesBps = 100_000")
    await guest.until("() => said.at(-1) === '网络弱，别人看您又小又慢，声音照常'")
    assert await guest.page.evaluate(LAYERS) == [["q", 10]]
    await guest.page.evaluate("carriesBps = 30_000")
    await guest.page.wait_for_selector("#line:has-text('别人先看不到您')")
    await guest.page.wait_for_selector('#quality[data-level="0"]')
    assert await guest.page.evaluate(LAYERS) == []
    # With the camera off nobody waits for it, and with it on again it stands where it stood.
    await guest.show_tools()
    await guest.tap("#camera")
    await guest.page.wait_for_selector('#quality[data-level="3"]')
    assert await guest.page.inner_text("#line") == ""
    await guest.show_tools()
    await guest.tap("#camera")
    await guest.page.wait_for_selector("#line:has-text('别人先看不到您')")
    await guest.page.evaluate("carriesBps = 2_000_000")
    await guest.page.wait_for_selector("#line:has-text('别人看您清楚了')", timeout=60_000)
    await guest.page.wait_for_selector('#quality[data-level="3"]')
    await host.until_tile("张敏")

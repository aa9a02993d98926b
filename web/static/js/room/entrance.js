/**
 * The join page. Nothing opens without a tap; the first tap on the main button is enough to enter.
 * Resolves once the person wants in; can be shown again when entering failed.
 */

import { isApiError } from "../lib/api.js";
import { byId, el, icon, setIcon } from "../lib/dom.js";
import { keep, recall } from "../lib/kept.js";
import { page, t } from "../lib/page.js";
import { browserTrouble, helpKey, troubleOf } from "../media/permission.js";
import { Preview } from "../media/preview.js";
import { offerCheck } from "./check_button.js";
import { Seats } from "./seats.js";

/**
 * @typedef {object} Wish
 * @property {string} name
 * @property {boolean} microphone
 * @property {boolean} camera
 * @property {boolean} isShelf begin sharp and slow (walks)
 * @property {any[]} tracks livekit LocalTracks, open
 * @property {Seats} seats
 */

const SLOW_MS = 1200;
/** Who wants in and still waits for the rest of the page is told that it is the network. */
const LATE_MS = 12000;
const HEARD = 0.25;

const isViewer = page.role === "viewer";

export class Entrance {
  /**
   * @param {{ isWalk: boolean, stage: Promise<unknown>, onEnter: (wish: Wish) => Promise<void> }} options
   * `stage`: what is behind the entrance has come
   */
  constructor({ isWalk, stage, onEnter }) {
    this.isWalk = isWalk;
    this.stage = stage;
    this.onEnter = onEnter;
    /** @type {EventTarget | null} */
    this.followed = null;
    this.wants = { microphone: !isViewer, camera: !isViewer };
    this.name = page.name || recall("name");
    this.seats = new Seats(isWalk ? "walker" : undefined);
    // Not before: on a narrow line it would only come later by it.
    stage.then(() => this.seats.expect(this.givenName()), () => {});
    /** @type {Preview | null} */
    this.preview = null;
    this.hasBeenHeard = false;
    this.setUpName();
    if (!isViewer) this.setUpDevices();
    this.endCheck = offerCheck(isWalk, (advice) => this.offerShelf(advice));
    document.getElementById("enter-shelf")?.addEventListener("click", () => this.enter(this.wants, true));
    byId("enter").addEventListener("click", () => this.enter(this.wants));
    document.getElementById("listen")?.addEventListener("click", () => this.enter({ microphone: false, camera: false }));
    const trouble = isViewer ? (globalThis.RTCPeerConnection ? null : "unable") : browserTrouble();
    if (trouble) this.showTrouble(trouble);
    // Disabled until now, so that no tap is lost while a slow line still loads the scripts.
    for (const button of document.querySelectorAll("[data-waits]")) /** @type {HTMLButtonElement} */ (button).disabled = false;
    byId("enter").textContent = byId("enter").dataset.words ?? "";
  }

  setUpName() {
    const form = byId("name-form");
    const field = /** @type {HTMLInputElement} */ (byId("name"));
    if (this.name) {
      field.value = this.name;
      byId("who-name").textContent = this.name;
      byId("who").hidden = false;
      form.hidden = true;
    }
    byId("not-me").addEventListener("click", () => {
      byId("who").hidden = true;
      form.hidden = false;
      field.select();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.enter(this.wants);
    });
    field.addEventListener("input", () => { byId("name-error").hidden = true; });
  }

  givenName() {
    const field = /** @type {HTMLInputElement} */ (byId("name"));
    return byId("name-form").hidden ? this.name : field.value.trim();
  }

  setUpDevices() {
    const video = /** @type {HTMLVideoElement} */ (byId("preview"));
    this.preview = new Preview(video, { isWalk: this.isWalk, onLevel: (level) => this.showLevel(level) });
    byId("preview-start").addEventListener("click", () => { this.wants.camera = true; this.showChoices(); this.look(); });
    for (const kind of /** @type {const} */ (["microphone", "camera"])) {
      document.getElementById(`want-${kind}`)?.addEventListener("click", () => {
        this.wants[kind] = !this.wants[kind];
        this.showChoices();
        if (this.preview?.isOpen) this.look();
      });
    }
  }

  showChoices() {
    for (const kind of /** @type {const} */ (["microphone", "camera"])) {
      const button = document.getElementById(`want-${kind}`);
      if (!button) continue;
      const isOn = this.wants[kind];
      const sign = kind === "microphone" ? "mic" : "camera";
      button.setAttribute("aria-pressed", String(isOn));
      setIcon(button, isOn ? sign : `${sign}-off`);
      /** @type {HTMLElement} */ (button.lastElementChild).textContent = t(`join.${kind}_${isOn ? "on" : "off"}`);
    }
  }

  /** Open the preview as wished; says what stands in the way. */
  async look() {
    const preview = /** @type {Preview} */ (this.preview);
    byId("trouble").hidden = true;
    try {
      await preview.open(this.wants);
      byId("preview-start").hidden = !preview.video.hidden;
      byId("level").hidden = !this.wants.microphone;
      this.showTicks();
    } catch (error) {
      this.showTrouble(troubleOf(error));
    }
  }

  /** Three ticks: sound, picture, network; and the way on where one is missing. */
  async showTicks() {
    const list = byId("ticks");
    const tick = (/** @type {string} */ key, /** @type {"ok" | "wait" | "off"} */ state) =>
      el("li", { data: { state } }, icon(state === "ok" ? "check" : state === "wait" ? "clock" : "close", "icon-s"), t(key));
    const parts = [];
    parts.push(tick(this.wants.microphone ? "join.tick_sound" : "join.tick_sound_off", this.wants.microphone ? "ok" : "off"));
    parts.push(tick(this.wants.camera ? "join.tick_picture" : "join.tick_picture_off", this.wants.camera ? "ok" : "off"));
    list.hidden = false;
    list.replaceChildren(...parts, tick("join.tick_network_wait", "wait"));
    const started = performance.now();
    const isReached = await fetch("/healthz", { cache: "no-store" }).then((r) => r.ok, () => false);
    const isSlow = performance.now() - started > SLOW_MS;
    list.replaceChildren(...parts, isReached ? tick(isSlow ? "join.tick_network_slow" : "join.tick_network", isSlow ? "wait" : "ok") : tick("join.tick_network_none", "off"));
  }

  /** @param {number} level */
  showLevel(level) {
    byId("level-fill").style.transform = `scaleX(${level.toFixed(2)})`;
    if (level > HEARD && !this.hasBeenHeard) {
      this.hasBeenHeard = true;
      byId("level-word").textContent = t("join.we_hear_you");
    }
  }

  /** @param {import("../media/permission.js").Trouble} trouble */
  showTrouble(trouble) {
    const again = () => { byId("trouble").hidden = true; this.look(); };
    const actions = [];
    if (trouble === "insecure" || trouble === "unable") {
      actions.push(el("button", { class: "button", type: "button", on: { click: this.copyLink } }, icon("copy"), t("join.copy_link")));
    } else {
      actions.push(el("button", { class: "button", type: "button", on: { click: again } }, t("common.again")));
    }
    this.say(t(`device.${trouble}.title`), t(helpKey(trouble)), actions);
  }

  /** @param {Event} event */
  async copyLink(event) {
    const button = /** @type {HTMLElement} */ (event.currentTarget);
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = t("join.link_copied");
    } catch {
      button.replaceWith(el("input", { class: "input", readonly: true, value: location.href, "aria-label": t("invite.link") }));
    }
  }

  /** @param {string} title @param {string} help @param {HTMLElement[]} actions */
  say(title, help, actions = []) {
    const box = byId("trouble");
    box.replaceChildren(icon("alert"), el("div", {}, el("strong", {}, title), el("p", {}, help), el("div", { class: "notice-actions" }, ...actions)));
    box.hidden = false;
    box.scrollIntoView({ block: "nearest" });
  }

  /** Where shelf mode is advised it is one tap away. @param {import("../lib/lines.js").Advice} advice */
  offerShelf({ advice }) {
    const button = document.getElementById("enter-shelf");
    if (button && advice === "shelf_first") button.hidden = false;
  }

  /** @param {{ microphone: boolean, camera: boolean }} wants */
  async enter(wants, isShelf = false) {
    const name = this.givenName();
    if (!name) {
      byId("name-error").hidden = false;
      byId("name").focus();
      return;
    }
    this.endCheck();
    this.name = name;
    if (name !== page.name) keep("name", name);
    const button = byId("enter");
    // Another button, or the keyboard, while the first tap still waits.
    if (button.getAttribute("aria-busy")) return;
    const words = button.textContent;
    button.setAttribute("aria-busy", "true");
    button.textContent = t("join.entering");
    byId("trouble").hidden = true;
    this.seats.expect(name);
    const endWait = this.awaitStage();
    /** @type {any[]} */
    let tracks = [];
    try {
      // The device prompt comes now, while the tap still counts and the join page can explain.
      tracks = (await this.preview?.take(wants)) ?? [];
      await this.onEnter({ name, ...wants, isShelf, tracks, seats: this.seats });
    } catch (error) {
      endWait();
      for (const track of tracks) track.stop();
      this.preview?.close();
      if (isApiError(error)) this.say(t("join.failed"), error.message);
      else if (isDeviceError(error)) this.showTrouble(troubleOf(error));
      else this.say(t("join.failed"), t("join.failed_help"));
    } finally {
      endWait();
      button.removeAttribute("aria-busy");
      button.textContent = words;
    }
  }

  /** Say so while what is behind the entrance takes long to come; returns what ends that. */
  awaitStage() {
    let isSaid = false;
    const late = setTimeout(() => {
      isSaid = true;
      this.say(t("join.waiting"), t("join.waiting_help"));
    }, LATE_MS);
    const end = () => {
      clearTimeout(late);
      if (isSaid) byId("trouble").hidden = true;
      isSaid = false;
    };
    this.stage.then(end, end);
    return end;
  }

  /** Say so while entering waits for a network. @param {import("./session.js").Session} session */
  follow(session) {
    if (this.followed) return;
    this.followed = session;
    session.addEventListener("state", (event) => {
      const { state } = /** @type {CustomEvent} */ (event).detail;
      if (state === "waiting" && byId("trouble").hidden) this.say(t("join.waiting"), t("join.waiting_help"));
    });
  }

  hide() {
    byId("entrance").hidden = true;
    this.preview?.hide();
  }
}

/** @param {unknown} error */
const isDeviceError = (error) => error instanceof DOMException || (error instanceof Error && error.name === "DeviceUnsupportedError");

/** The list of store cameras, and the form that adds one. */

import { ApiError, get, part, post, remove } from "../lib/api.js";
import { byId, el, icon } from "../lib/dom.js";
import { hasText, t } from "../lib/page.js";
import { note } from "../lib/say.js";
import { emptyRow } from "../recordings/rows.js";

/**
 * @typedef {object} Camera
 * @property {string} id
 * @property {string} name
 * @property {string | null} room
 * @property {"idle" | "connecting" | "live" | "failed"} state
 * @property {string | null} error_code
 */

const LOOK = { idle: "idle", connecting: "wait", live: "live", failed: "wait" };
const REFRESH_MS = 5000;
const UNDO_MS = 8000;

const list = byId("camera-list");
const form = /** @type {HTMLFormElement} */ (byId("camera-form"));
const opener = byId("add-camera");
const problem = byId("camera-error");
/** Cameras taken away but not yet deleted: undo instead of asking. @type {Set<string>} */
const leaving = new Set();
let shown = "";

/** @param {Camera} camera */
function trouble(camera) {
  const key = `error.${camera.error_code}`;
  return camera.state === "failed" ? t(hasText(key) ? key : "camera.failed") : t(`camera.state_hint.${camera.state}`);
}

/** @param {Camera} camera */
async function look(camera) {
  try {
    let room = camera.room;
    if (!room) {
      room = (await post("/api/rooms", { title: camera.name })).name;
      await post(`/api/rooms/${part(String(room))}/cameras`, { camera: camera.id });
    }
    location.href = `/room/${part(String(room))}`;
  } catch (error) {
    note(error instanceof ApiError ? error.message : t("error.unknown"));
  }
}

/** @param {Camera} camera */
function takeAway(camera) {
  leaving.add(camera.id);
  shown = "";
  refresh();
  const timer = setTimeout(async () => {
    await remove(`/api/cameras/${part(camera.id)}`).catch(() => note(t("camera.not_removed")));
    leaving.delete(camera.id);
    refresh();
  }, UNDO_MS);
  note(t("camera.removed", { name: camera.name }), {
    action: t("common.undo"),
    onAction: () => { clearTimeout(timer); leaving.delete(camera.id); shown = ""; refresh(); },
  });
}

/** @param {Camera} camera */
function row(camera) {
  return el("li", {}, el("div", { class: "row stacked", data: { camera: camera.id } },
    el("span", { class: `row-sign ${camera.state === "live" ? "live" : ""}` }, icon("cctv")),
    el("div", { class: "row-text" },
      el("p", { class: "row-title" }, camera.name),
      el("p", { class: "row-sub" }, trouble(camera))),
    el("div", { class: "row-end" },
      el("span", { class: `chip ${LOOK[camera.state]}` }, t(`camera.state.${camera.state}`)),
      el("button", { class: "button worded", type: "button", "aria-label": t("camera.look_at", { name: camera.name }), on: { click: () => look(camera) } }, el("span", {}, t("camera.look"))),
      el("button", { class: "icon-button", type: "button", title: t("camera.remove"), "aria-label": t("camera.remove_named", { name: camera.name }), on: { click: () => takeAway(camera) } }, icon("trash")))));
}

async function refresh() {
  try {
    /** @type {{ cameras: Camera[] }} */
    const { cameras } = await get("/api/cameras");
    const some = cameras.filter((camera) => !leaving.has(camera.id));
    const fresh = JSON.stringify(some);
    if (fresh === shown) return;
    shown = fresh;
    list.removeAttribute("aria-busy");
    list.replaceChildren(...(some.length ? some.map(row) : [emptyRow(t("camera.none"), t("camera.none_why"), "cctv")]));
  } catch {
    if (!shown) list.replaceChildren(emptyRow(t("common.cannot_load"), t("common.trying_again"), "alert"));
  }
}

/** @param {boolean} isOpen */
function showForm(isOpen) {
  form.hidden = !isOpen;
  opener.setAttribute("aria-expanded", String(isOpen));
  if (isOpen) /** @type {HTMLElement} */ (form.elements.namedItem("name")).focus();
}

/** @param {SubmitEvent} event */
async function add(event) {
  event.preventDefault();
  const values = new FormData(form);
  const missing = ["name", "url"].find((name) => !String(values.get(name)).trim());
  if (missing) {
    problem.textContent = t(`camera.missing_${missing}`);
    problem.hidden = false;
    /** @type {HTMLElement} */ (form.elements.namedItem(missing)).focus();
    return;
  }
  problem.hidden = true;
  form.setAttribute("aria-busy", "true");
  try {
    await post("/api/cameras", { name: String(values.get("name")).trim(), url: String(values.get("url")).trim() });
    form.reset();
    showForm(false);
    opener.focus();
    note(t("camera.added"));
    await refresh();
  } catch (error) {
    problem.textContent = error instanceof ApiError ? error.message : t("error.unknown");
    problem.hidden = false;
  } finally {
    form.removeAttribute("aria-busy");
  }
}

/** Show the cameras and keep their states fresh. */
export function keepCameras() {
  opener.addEventListener("click", () => showForm(form.hidden));
  byId("camera-cancel").addEventListener("click", () => { showForm(false); opener.focus(); });
  form.addEventListener("submit", add);
  refresh();
  setInterval(() => { if (document.visibilityState === "visible") refresh(); }, REFRESH_MS);
}

/** The recording: everybody sees and hears that it runs; the host starts and stops it. */

import { ApiError, part, post, remove } from "../lib/api.js";
import { byId, setIcon, setText } from "../lib/dom.js";
import { page, t } from "../lib/page.js";
import { buzz, note } from "../lib/say.js";

/** @param {import("./session.js").Session} session */
export function showRecording(session) {
  const sign = byId("rec");
  const button = document.getElementById("record");
  let isOn = false;

  session.addEventListener("recording", (event) => {
    const { isRecording } = /** @type {CustomEvent} */ (event).detail;
    if (isRecording === isOn) return;
    isOn = isRecording;
    sign.hidden = !isOn;
    note(t(isOn ? "record.started" : page.leads ? "record.stopped" : "record.stopped_here"), { urgent: isOn });
    if (isOn) buzz([80, 60, 80]);
    if (!button) return;
    button.setAttribute("aria-pressed", String(isOn));
    setIcon(button, isOn ? "stop" : "record");
    setText(/** @type {Element} */ (button.lastElementChild), t(isOn ? "record.stop" : "record.start"));
  });

  const toggle = async () => {
    if (!button || button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    const path = `/api/rooms/${part(session.room.name)}/recording`;
    try {
      const { is_recording: isRecording } = isOn ? await remove(path) : await post(path);
      session.tell("recording", { isRecording });
    } catch (error) {
      note(error instanceof ApiError ? error.message : t("error.unknown"), { urgent: true });
    } finally {
      button.removeAttribute("aria-busy");
    }
  };
  button?.addEventListener("click", toggle);
  return { toggle };
}

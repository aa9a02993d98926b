/** Microphone, camera and screen share: buttons, words, and what to do when a device refuses. */

import { byId, setIcon, setText } from "../lib/dom.js";
import { t } from "../lib/page.js";
import { announce, note } from "../lib/say.js";
import { livekit } from "../media/livekit.js";
import { canShareScreen, helpKey, troubleOf } from "../media/permission.js";

/** @param {unknown} error */
function sayTrouble(error) {
  const trouble = troubleOf(error);
  note(`${t(`device.${trouble}.title`)} ${t(helpKey(trouble))}`, { urgent: true });
}

export class Talk {
  /** @param {any} room */
  constructor(room) {
    this.room = room;
    const { RoomEvent } = livekit;
    for (const event of [
      RoomEvent.LocalTrackPublished, RoomEvent.LocalTrackUnpublished, RoomEvent.TrackMuted, RoomEvent.TrackUnmuted,
      RoomEvent.Connected, RoomEvent.Reconnected, RoomEvent.ParticipantPermissionsChanged,
    ]) room.on(event, () => this.show());
    room.on(RoomEvent.MediaDevicesError, sayTrouble);
    byId("microphone").addEventListener("click", () => this.toggleMicrophone());
    byId("camera").addEventListener("click", () => this.toggleCamera());
    const share = byId("share");
    share.hidden = !canShareScreen();
    share.addEventListener("click", () => this.toggleShare());
  }

  /** What is on now, to bring it back after the line was lost for long. */
  snapshot() {
    const { localParticipant: me } = this.room;
    return { microphone: me.isMicrophoneEnabled, camera: me.isCameraEnabled };
  }

  /** @param {{ microphone: boolean, camera: boolean }} wanted */
  async restore({ microphone, camera }) {
    const { localParticipant: me } = this.room;
    if (microphone) await me.setMicrophoneEnabled(true).catch(sayTrouble);
    if (camera) await me.setCameraEnabled(true).catch(sayTrouble);
  }

  /** @param {HTMLElement} button @param {() => Promise<unknown>} change */
  async during(button, change) {
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      await change();
    } catch (error) {
      sayTrouble(error);
    } finally {
      button.removeAttribute("aria-busy");
      this.show();
    }
  }

  async toggleMicrophone() {
    const { localParticipant: me } = this.room;
    const isOn = me.isMicrophoneEnabled;
    await this.during(byId("microphone"), () => me.setMicrophoneEnabled(!isOn));
    announce(t(me.isMicrophoneEnabled ? "stage.microphone_on" : "stage.microphone_off"));
  }

  async toggleCamera() {
    const { localParticipant: me } = this.room;
    const isOn = me.isCameraEnabled;
    await this.during(byId("camera"), () => me.setCameraEnabled(!isOn));
    announce(t(me.isCameraEnabled ? "stage.camera_on" : "stage.camera_off"));
  }

  async toggleShare() {
    const { localParticipant: me } = this.room;
    const isOn = me.isScreenShareEnabled;
    const button = byId("share");
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      // Text must stay sharp: detail before smoothness.
      await me.setScreenShareEnabled(!isOn, { contentHint: "detail", audio: false });
    } catch (error) {
      // Closing the chooser is a choice, not a fault.
      if (troubleOf(error) !== "denied") sayTrouble(error);
    } finally {
      button.removeAttribute("aria-busy");
      this.show();
    }
  }

  show() {
    const { localParticipant: me } = this.room;
    const canTalk = me.permissions?.canPublish ?? true;
    byId("talk-tools").hidden = !canTalk;
    this.showTool("microphone", me.isMicrophoneEnabled, "mic");
    this.showTool("camera", me.isCameraEnabled, "camera");
    const share = byId("share");
    share.setAttribute("aria-pressed", String(me.isScreenShareEnabled));
    setText(/** @type {Element} */ (share.lastElementChild), t(me.isScreenShareEnabled ? "stage.share_stop" : "stage.share"));
  }

  /** @param {"microphone" | "camera"} id @param {boolean} isOn @param {string} sign */
  showTool(id, isOn, sign) {
    const button = byId(id);
    button.setAttribute("aria-pressed", String(isOn));
    button.classList.toggle("is-off", !isOn);
    button.title = t(`stage.${id}_tip`);
    setIcon(button, isOn ? sign : `${sign}-off`);
    setText(/** @type {Element} */ (button.querySelector("span")), t(`stage.${id}_${isOn ? "on" : "off"}`));
  }
}

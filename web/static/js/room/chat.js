/** Chat by livekit text streams on the topic the LiveKit components use. */

import { byId, el, icon } from "../lib/dom.js";
import { page, t } from "../lib/page.js";
import { announce, note } from "../lib/say.js";
import { nameOf } from "./tile.js";

const TOPIC = "lk.chat";
const MAX_LINES = 500;
/** Longer texts are cut: nobody reads them in a meeting, and a line must not fill the screen. */
const MAX_SIGNS = 2000;
const LINK = /https?:\/\/[^\s<>"']+/g;

/** Text with its links made tappable; everything else stays text. @param {string} text */
function withLinks(text) {
  const body = el("p", { class: "chat-text" });
  let at = 0;
  for (const match of text.matchAll(LINK)) {
    const start = match.index ?? 0;
    body.append(text.slice(at, start), el("a", { href: match[0], target: "_blank", rel: "noopener noreferrer nofollow" }, match[0]));
    at = start + match[0].length;
  }
  body.append(text.slice(at));
  return body;
}

export class Chat {
  /** @param {any} room @param {{ isOpen: () => boolean, onUnread: (count: number) => void, open: () => void }} panel */
  constructor(room, panel) {
    this.room = room;
    this.panel = panel;
    this.unread = 0;
    this.lines = byId("chat-lines");
    this.field = /** @type {HTMLTextAreaElement} */ (byId("chat-text"));
    this.lastFrom = "";
    byId("chat-form").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    this.field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    this.field.addEventListener("input", () => this.grow());
    room.registerTextStreamHandler(TOPIC, async (/** @type {any} */ reader, /** @type {{ identity: string }} */ from) => {
      try {
        const text = await reader.readAll();
        this.onLine(from.identity, String(text).slice(0, MAX_SIGNS));
      } catch {
        // The sender went away in the middle of a text: there is nothing to show.
      }
    });
  }

  grow() {
    this.field.style.height = "auto";
    this.field.style.height = `${Math.min(this.field.scrollHeight + 2, 140)}px`;
  }

  /** @param {string} identity @param {string} text */
  onLine(identity, text) {
    const participant = this.room.remoteParticipants.get(identity);
    const name = participant ? nameOf(participant) : t("people.unnamed");
    this.add({ name, text, isMine: false, from: identity });
    if (this.panel.isOpen()) return announce(t("chat.said", { name, text }));
    this.unread += 1;
    this.panel.onUnread(this.unread);
    note(t("chat.said", { name, text: text.length > 60 ? `${text.slice(0, 60)}…` : text }), { action: t("chat.show"), onAction: () => this.panel.open() });
  }

  markRead() {
    this.unread = 0;
    this.panel.onUnread(0);
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  async send() {
    const text = this.field.value.trim().slice(0, MAX_SIGNS);
    if (!text) return;
    this.field.value = "";
    this.grow();
    const line = this.add({ name: t("chat.me"), text, isMine: true, from: "me" });
    await this.deliver(text, line);
  }

  /** @param {string} text @param {HTMLElement} line */
  async deliver(text, line) {
    try {
      await this.room.localParticipant.sendText(text, { topic: TOPIC });
      line.classList.remove("failed");
    } catch {
      line.classList.add("failed");
      const again = el("button", { type: "button", class: "chat-again", on: { click: () => { again.remove(); this.deliver(text, line); } } }, icon("alert", "icon-s"), t("chat.not_sent"));
      line.append(again);
    }
  }

  /** @param {{ name: string, text: string, isMine: boolean, from: string }} line */
  add({ name, text, isMine, from }) {
    this.lines.querySelector(".chat-empty")?.remove();
    const isNear = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 80;
    const clock = new Intl.DateTimeFormat(page.language, { hour: "2-digit", minute: "2-digit", hour12: false }).format(new Date());
    const head = from !== this.lastFrom && el("p", { class: "chat-head" }, el("b", {}, name), el("time", {}, clock));
    this.lastFrom = from;
    const node = el("li", { class: isMine ? "mine" : "" }, head, withLinks(text));
    this.lines.append(node);
    while (this.lines.children.length > MAX_LINES) this.lines.firstElementChild?.remove();
    if (isNear || isMine) this.lines.scrollTop = this.lines.scrollHeight;
    return node;
  }
}

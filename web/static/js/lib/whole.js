/**
 * Sees that a page is whole. On a bad line a script may never come, and then nothing answers a tap.
 * What has come stays in the browser's cache: loading again goes on where it stopped.
 *
 * A classic script that needs nothing else; the entrance is whole when its main button works.
 */
(() => {
  const KEPT = "loads-in-vain";
  const WAITS_MS = [500, 3000, 10000];
  /** Tries so far. */
  const read = () => Number(sessionStorage.getItem(KEPT)) || 0;

  const isTyping = () => Boolean(/** @type {HTMLInputElement | null} */ (document.getElementById("name"))?.value);

  /** What was typed is not thrown away, and a browser that is too old gets no further by itself. */
  function ask() {
    sessionStorage.removeItem(KEPT);
    const notice = document.getElementById("not-whole");
    if (notice) notice.hidden = false;
  }

  function again() {
    if (isTyping()) ask();
    else location.reload();
  }

  function look() {
    const button = /** @type {HTMLButtonElement | null} */ (document.getElementById("enter"));
    if (!button?.disabled) {
      sessionStorage.removeItem(KEPT);
      return;
    }
    const tries = read();
    if (tries >= WAITS_MS.length) {
      ask();
      return;
    }
    sessionStorage.setItem(KEPT, String(tries + 1));
    setTimeout(again, WAITS_MS[tries]);
  }

  // All has come, or failed; modules have run by then.
  if (document.readyState === "complete") look();
  else addEventListener("load", () => setTimeout(look));
})();

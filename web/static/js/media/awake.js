/** Keeping the screen on while somebody films or watches. */

/**
 * Keep the screen awake until the returned function is called. The lock falls whenever the page
 * is hidden, so it is taken again when the page shows. Where there is no wake lock, a looping
 * silent film does it.
 * @param {string} filmUrl
 * @returns {() => void}
 */
export function stayAwake(filmUrl) {
  /** @type {any} */
  let lock = null;
  /** @type {HTMLVideoElement | null} */
  let film = null;
  let wanted = true;

  const playFilm = () => {
    if (film || !wanted) return;
    film = document.createElement("video");
    Object.assign(film, { src: filmUrl, loop: true, muted: true, playsInline: true });
    film.className = "awake-film";
    film.setAttribute("aria-hidden", "true");
    document.body.append(film);
    film.play().catch(() => {});
  };
  const take = async () => {
    if (!wanted || document.visibilityState !== "visible") return;
    try {
      lock = await /** @type {any} */ (navigator).wakeLock.request("screen");
    } catch {
      playFilm();
    }
  };
  document.addEventListener("visibilitychange", take);
  take();
  return () => {
    wanted = false;
    document.removeEventListener("visibilitychange", take);
    lock?.release?.().catch(() => {});
    film?.remove();
  };
}

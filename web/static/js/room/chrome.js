/** Bars that leave the picture alone: gone after 4 s without a touch, back with the next one. */

const IDLE_MS = 4000;

/**
 * @param {HTMLElement} stage
 * @param {() => boolean} mustStay true while something open needs the bars
 */
export function hideWhenIdle(stage, mustStay) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const hide = () => {
    const hasFocus = stage.querySelector(".chrome :focus-visible");
    const isOver = stage.querySelector(".chrome:hover") && matchMedia("(hover: hover)").matches;
    if (mustStay() || hasFocus || isOver) wake();
    else stage.classList.add("calm");
  };
  const wake = () => {
    stage.classList.remove("calm");
    clearTimeout(timer);
    timer = setTimeout(hide, IDLE_MS);
  };
  for (const event of ["pointermove", "pointerdown", "keydown", "focusin"]) {
    stage.addEventListener(event, wake, { passive: true });
  }
  document.addEventListener("keydown", wake);
  wake();
}

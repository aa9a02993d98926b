/** Sign-in with the key the server printed. The printed address carries it as `#key=…`. */

import { ApiError, post } from "../lib/api.js";
import { byId } from "../lib/dom.js";
import { t } from "../lib/page.js";

const form = byId("sign-in");
const field = /** @type {HTMLInputElement} */ (byId("key"));
const problem = byId("key-error");

/** @param {string} key */
async function signIn(key) {
  form.setAttribute("aria-busy", "true");
  try {
    await post("/api/session", { key });
    location.reload();
  } catch (error) {
    problem.textContent = error instanceof ApiError ? error.message : t("error.unknown");
    problem.hidden = false;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  } finally {
    form.removeAttribute("aria-busy");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (field.value.trim()) signIn(field.value.trim());
  else field.focus();
});

const carried = new URLSearchParams(location.hash.slice(1)).get("key");
if (carried) {
  // The key leaves the address bar before anything else happens.
  history.replaceState(null, "", location.pathname + location.search);
  signIn(carried);
} else {
  field.focus();
}

/** What the server put into the page: data, texts. */

/** @returns {any} */
function readJson(/** @type {string} */ id) {
  const node = document.getElementById(id);
  return node ? JSON.parse(node.textContent || "{}") : {};
}

/** Facts about this page (room, role, language …). */
export const page = readJson("page-data");

/** @type {Record<string, string>} */
const texts = readJson("page-texts");

const plurals = new Intl.PluralRules(page.language || "zh-CN");

/**
 * Text by key. With `n` in values, `key.one` or `key.other` is taken where the catalogue has it.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  let text = texts[key];
  if (typeof values.n === "number") {
    text = texts[`${key}.${plurals.select(values.n)}`] ?? texts[`${key}.other`] ?? text;
  }
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Whether the catalogue of this page has a text. @param {string} key */
export const hasText = (key) => key in texts;

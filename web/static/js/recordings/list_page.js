/** The page of all recordings. */

import { byId } from "../lib/dom.js";
import { applyTextSize } from "../lib/kept.js";
import { keepRecordings } from "./rows.js";

applyTextSize();
keepRecordings(byId("recording-list"));

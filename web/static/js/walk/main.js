/** The page of a phone walk. */

import { recall } from "../lib/kept.js";
import { openDoor } from "../room/door.js";

document.documentElement.dataset.theme = recall("theme");
openDoor({ isWalk: true });

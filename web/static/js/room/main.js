/** The page of a meeting. */

import { openDoor } from "./door.js";

openDoor({ isWalk: false });

/** Characters in one message; the server refuses more. */
export const MAX_CONTENT = 2000;
/** From here on the composer counts what is left. */
export const COUNT_FROM = 1800;
/** Files per message. */
export const MAX_FILES = 10;

/** Checks the nesting of a JSON text before it is parsed, so that a depth of 10^6 cannot overflow the stack. */

const QUOTE = 34;
const BACKSLASH = 92;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/** Whether arrays and objects are nested deeper than `limit`. Ignores brackets in strings. */
export function jsonDepthExceeds(text: string, limit: number): boolean {
  const length = text.length;
  // every level has at least two characters, its opening and its closing bracket
  if (length <= limit * 2) return false;
  let depth = 0;
  for (let at = 0; at < length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = text.indexOf('"', at + 1);
      while (at !== -1 && isEscaped(text, at)) at = text.indexOf('"', at + 1);
      if (at === -1) return false;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth += 1;
      if (depth > limit) return true;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth -= 1;
  }
  return false;
}

/** An odd number of backslashes before a quote escapes it. */
function isEscaped(text: string, quoteAt: number): boolean {
  let from = quoteAt - 1;
  while (from >= 0 && text.charCodeAt(from) === BACKSLASH) from -= 1;
  return (quoteAt - 1 - from) % 2 === 1;
}

/** Parses `http.listen`. Pure. */

/** A port alone listens on loopback only. */
const LOOPBACK = '127.0.0.1';

/**
 * @param text `host:port`, `[v6]:port`, `:port` for all addresses, `port` for loopback only, or `off`; already validated
 *   by the config's schema
 * @returns null for `off`
 */
export function parseListen(text: string): { host: string; port: number } | null {
  if (text === 'off') return null;
  const colon = text.lastIndexOf(':');
  if (colon < 0) return { host: LOOPBACK, port: Number(text) };
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

/** The address of the page, as the config has it. Pure. */

/** @param text `host:port`, `[v6]:port` or `off`; checked by the config's schema. @returns null for `off` */
export function parseListen(text: string): { host: string; port: number } | null {
  if (text === 'off') return null;
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

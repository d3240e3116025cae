/** Security headers of every response, and the check of the `Host` header. Pure. */

/**
 * The page loads only its own files, and no other site may read from it. There is no Cross-Origin-Opener-Policy: with it
 * Chromium starts another process after the response, which delays the first paint by 20 to 50 ms, and browsers ignore it
 * on a plain address of the network. A page that opened this one learns nothing from it: it has no frames and no messages
 * between windows.
 * @param frameAncestors origins that may show it in a frame
 * @param hashes of the styles and the script within the page, as in a content security policy
 */
export function securityHeaders(
  frameAncestors: readonly string[],
  hashes: Readonly<Record<'styles' | 'script', string>>,
): Readonly<Record<string, string>> {
  const ancestors = frameAncestors.length === 0 ? "'none'" : frameAncestors.join(' ');
  return {
    'Content-Security-Policy': `default-src 'none'; script-src 'self' '${hashes.script}'; style-src 'self' '${hashes.styles}'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors ${ancestors}`,
    'X-Content-Type-Options': 'nosniff',
    // X-Frame-Options has no list of origins, so it is sent only if none is allowed.
    ...(frameAncestors.length === 0 ? { 'X-Frame-Options': 'DENY' } : {}),
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  };
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

export const isLoopback = (address: string): boolean =>
  address === 'localhost' || address === '::1' || address === '::ffff:127.0.0.1' || /^127\./.test(address);

/**
 * Protects against DNS rebinding, where a site's name resolves to 127.0.0.1: a server on loopback answers only requests
 * with a loopback name in `Host`. On other addresses any name is accepted, because the owner's names are unknown.
 */
export function hostAllowed(listenHost: string, hostHeader: string | undefined): boolean {
  if (!isLoopback(listenHost)) return true;
  if (hostHeader === undefined) return false;
  const name = hostHeader.replace(/:\d+$/, '').toLowerCase();
  return LOOPBACK.has(name) || name === listenHost.toLowerCase() || /^127(\.\d{1,3}){3}$/.test(name);
}

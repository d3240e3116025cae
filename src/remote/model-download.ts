/** Downloads a file of a pushed model from an https server, with limits of size and time. */
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { errorText } from '../errors.ts';

interface Download {
  readonly url: string;
  /** Expected size; a file of another size is refused. */
  readonly bytes: number;
  readonly signal: AbortSignal;
  readonly write: (at: number, bytes: Uint8Array) => Promise<void>;
  /** PEM: the certificate authorities to trust; default: the well-known ones. */
  readonly ca?: string | undefined;
}

export interface DownloadFailure {
  readonly reason: string;
  /** Whether another attempt may succeed. */
  readonly again: boolean;
}

interface DownloadLimits {
  /** Longest time without a byte, ms. */
  readonly idleMs: number;
  /** Longest time of a file, ms. */
  readonly totalMs: number;
}

const DOWNLOAD_LIMITS: DownloadLimits = { idleMs: 30_000, totalMs: 30 * 60_000 };
const MOST_REDIRECTS = 5;

/** URL of a model's file in the signed folder. */
export function fileUrl(folder: string, name: string): string {
  const url = new URL(folder);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${name}`;
  return url.href;
}

/** @returns the failure, or null. Rejects only with errors of `write`. */
export async function download(
  { url, bytes, signal, write, ca }: Download,
  limits: DownloadLimits = DOWNLOAD_LIMITS,
): Promise<DownloadFailure | null> {
  const idle = new AbortController();
  const isIdle = (): void => idle.abort(new Error(`no data for ${limits.idleMs / 1000} s`));
  const idleTimer = setTimeout(isIdle, limits.idleMs);
  const total = AbortSignal.timeout(limits.totalMs);
  const stop = AbortSignal.any([signal, idle.signal, total]);
  let writing: unknown = null;
  try {
    const response = await follow(url, stop, ca);
    if ('reason' in response) return response;
    const stated = response.headers['content-length'];
    if (stated !== undefined && Number(stated) !== bytes)
      return { reason: `has ${stated} bytes, not ${bytes}`, again: false };
    let at = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      idleTimer.refresh();
      if (at + chunk.length > bytes) return { reason: `has more than ${bytes} bytes`, again: false };
      await write(at, chunk).catch((error: unknown) => {
        writing = error;
        throw error;
      });
      at += chunk.length;
    }
    return at === bytes ? null : { reason: `ended after ${at} of ${bytes} bytes`, again: true };
  } catch (error) {
    if (writing !== null) throw writing;
    return { reason: `cannot be fetched: ${errorText(stop.aborted ? stop.reason : error)}`, again: true };
  } finally {
    clearTimeout(idleTimer);
    // aborts a body that was not read to its end
    idle.abort();
  }
}

async function follow(
  first: string,
  signal: AbortSignal,
  ca: string | undefined,
): Promise<IncomingMessage | DownloadFailure> {
  let url = first;
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    const response = await answer(url, signal, ca);
    const { statusCode: status = 0, headers } = response;
    if (status === 200) return response;
    response.resume();
    const { location } = headers;
    if (status < 300 || status > 399 || location === undefined)
      return { reason: `the server answered with status ${status}`, again: status >= 500 || status === 429 };
    const next = URL.parse(location, url);
    if (next?.protocol !== 'https:')
      return {
        reason: `the server redirects to ${next?.protocol ?? 'an invalid URL'}, not to https:`,
        again: false,
      };
    url = next.href;
  }
  return { reason: `the server redirects more than ${MOST_REDIRECTS} times`, again: false };
}

function answer(url: string, signal: AbortSignal, ca: string | undefined): Promise<IncomingMessage> {
  const trusted = ca === undefined ? {} : { ca };
  return new Promise((resolve, reject) => {
    // One connection for each file: none is left open on a gateway that waits for the next push for months.
    const request = get(url, { signal, agent: false, ...trusted }, (response) => {
      // A body that is not read may end with an error, too.
      response.on('error', () => {});
      resolve(response);
    });
    request.on('error', reject);
  });
}

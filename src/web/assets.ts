/** The files of the page, embedded in the bundle as text. */
import { createHash } from 'node:crypto';
import uplotStyles from 'uplot/dist/uPlot.min.css';
import script from './page.client.js';
import styles from './page.css';
import html from './page.html';

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
  readonly etag: string;
}

function asset(type: string, source: string): Asset {
  const body = Buffer.from(source);
  const digest = createHash('sha256').update(body).digest('base64url').slice(0, 16);
  return { type: `${type}; charset=utf-8`, body, etag: `"${digest}"` };
}

/** Part of the page, which is painted without waiting for another file. */
const STYLES = `${uplotStyles}${styles}`;
const STARTER = /<script type="module">(.+?)<\/script>/s.exec(html)?.[1] ?? '';

const hashOf = (text: string): string => `sha256-${createHash('sha256').update(text).digest('base64')}`;
/** The styles and the script within the page, for the header that allows these and no others. */
export const INLINE_HASHES = { styles: hashOf(STYLES), script: hashOf(STARTER) };

/** By path. */
export const ASSETS: ReadonlyMap<string, Asset> = new Map([
  [
    '/',
    asset(
      'text/html',
      html.replace('/* styles */', () => STYLES),
    ),
  ],
  ['/page.js', asset('text/javascript', script)],
]);

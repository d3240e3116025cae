/** The files of the page, embedded in the bundle as text. */
import { createHash } from 'node:crypto';
import uplot from 'uplot/dist/uPlot.esm.js';
import uplotStyles from 'uplot/dist/uPlot.min.css';
import api from './api.client.js';
import attention from './attention.client.js';
import chart from './chart.client.js';
import dom from './dom.client.js';
import format from './format.client.js';
import list from './list.client.js';
import marks from './marks.client.js';
import page from './page.client.js';
import styles from './page.css';
import html from './page.html';
import status from './status.client.js';
import stream from './stream.client.js';
import views from './views.client.js';

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
/** For the header that allows these styles and no others. */
export const STYLES_HASH = `sha256-${createHash('sha256').update(STYLES).digest('base64')}`;

const SCRIPTS = { api, attention, chart, dom, format, list, marks, page, status, stream, views };

/** By path. */
export const ASSETS: ReadonlyMap<string, Asset> = new Map([
  [
    '/',
    asset(
      'text/html',
      html.replace('/* styles */', () => STYLES),
    ),
  ],
  ['/uplot.js', asset('text/javascript', uplot)],
  ...Object.entries(SCRIPTS).map(([name, source]): [string, Asset] => [
    `/${name}.client.js`,
    asset('text/javascript', source),
  ]),
]);

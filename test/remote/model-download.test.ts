/** Downloads from a real https server with a certificate of a private authority. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type DownloadFailure, download, fileUrl } from '../../src/remote/model-download.ts';
import { tempDirs } from '../support/temp.ts';

const tempDir = tempDirs();
const BODY = Buffer.alloc(300_000, 'model ');

/** @returns paths of a certificate for 127.0.0.1 and its key, and the authority that signed it */
function certificates(dir: string): { ca: string; cert: string; key: string } {
  const at = (name: string): string => join(dir, name);
  const openssl = (...args: string[]): void => {
    const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  };
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const own = ['-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '2', '-subj', '/CN=works'];
  openssl('req', '-x509', ...curve, ...own);
  openssl('req', ...curve, '-keyout', at('key.pem'), '-out', at('request.pem'), '-subj', '/CN=127.0.0.1');
  writeFileSync(at('names'), 'subjectAltName=IP:127.0.0.1');
  const signed = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2'];
  openssl(
    'x509',
    '-req',
    '-in',
    at('request.pem'),
    ...signed,
    '-out',
    at('cert.pem'),
    '-extfile',
    at('names'),
  );
  return { ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') };
}

describe('the download of a model', () => {
  let server: Server;
  let ca: string;
  const got: { at: number; bytes: Uint8Array }[] = [];

  beforeAll(async () => {
    const paths = certificates(tempDir());
    ca = readFileSync(paths.ca, 'utf8');
    server = createServer({ key: readFileSync(paths.key), cert: readFileSync(paths.cert) });
    server.on('request', ({ url = '' }, response) => {
      const redirect = (location: string): void => void response.writeHead(302, { location }).end();
      if (url === '/good/step.onnx') response.end(BODY);
      else if (url === '/unknown/step.onnx') {
        response.write(BODY);
        response.end();
      } else if (url === '/long/step.onnx') {
        response.write(BODY);
        response.end('more');
      } else if (url === '/cut/step.onnx') {
        response.write(BODY.subarray(0, 1000));
        setTimeout(() => response.destroy(), 50);
      } else if (url === '/slow/step.onnx') response.write('m');
      else if (url === '/moved/step.onnx') redirect('/good/step.onnx');
      else if (url === '/plain/step.onnx') redirect('http://127.0.0.1:1/step.onnx');
      else if (url === '/round/step.onnx') redirect('/round/step.onnx');
      else if (url === '/busy/step.onnx') response.writeHead(503).end();
      else response.writeHead(404).end('nothing');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const fetched = (
    path: string,
    more: { ca?: string; bytes?: number; signal?: AbortSignal; wrote?: () => void } = { ca },
  ): Promise<DownloadFailure | null> => {
    got.length = 0;
    const { port } = server.address() as AddressInfo;
    return download(
      {
        url: fileUrl(`https://127.0.0.1:${port}/${path}`, 'step.onnx'),
        bytes: BODY.length,
        signal: new AbortController().signal,
        write: async (at, bytes) => {
          got.push({ at, bytes: Uint8Array.from(bytes) });
          more.wrote?.();
        },
        ...more,
      },
      { idleMs: path === 'slow' ? 1000 : 300_000, totalMs: 600_000 },
    );
  };

  it.each(['good', 'unknown', 'moved'])('takes %s, whole and in order', async (path) => {
    expect(await fetched(path)).toBeNull();
    expect(Buffer.concat(got.map(({ bytes }) => bytes)).equals(BODY)).toBe(true);
    expect(got[0]?.at).toBe(0);
  });

  it('takes as long as data arrive, and leaves no timer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      expect(await fetched('good', { ca, wrote: () => vi.advanceTimersByTime(200_000) })).toBeNull();
      expect(got.length).toBeGreaterThan(2);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('trusts a private authority only where it is named', async () => {
    expect((await fetched('good', {}))?.reason).toMatch(/unable to verify|self-signed/);
    expect(await fetched('good', { ca })).toBeNull();
  });

  it.each([
    ['nowhere', 'the server answered with status 404', false],
    ['busy', 'the server answered with status 503', true],
    ['plain', 'redirects to http:', false],
    ['round', 'redirects more than 5 times', false],
    ['long', 'has more than 300000 bytes', false],
    ['cut', 'cannot be fetched: aborted', true],
    ['slow', 'no data for 1 s', true],
  ])('refuses %s: %s', async (path, reason, again) => {
    const failure = await fetched(path);
    expect(failure?.reason).toContain(reason);
    expect(failure?.again).toBe(again);
  });

  it('refuses a stated length that is not the signed one before a byte of it', async () => {
    expect(await fetched('good', { ca, bytes: 5 })).toEqual({
      reason: 'has 300000 bytes, not 5',
      again: false,
    });
    expect(got).toEqual([]);
  });

  it('ends when it is told to, and leaves the error of a disk to the caller', async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('ended')), 50);
    expect((await fetched('slow', { ca, signal: stop.signal }))?.reason).toContain('ended');
    const { port } = server.address() as AddressInfo;
    const full = download({
      url: `https://127.0.0.1:${port}/good/step.onnx`,
      bytes: BODY.length,
      signal: new AbortController().signal,
      ca,
      write: () => Promise.reject(new Error('ENOSPC')),
    });
    await expect(full).rejects.toThrow('ENOSPC');
  });
});

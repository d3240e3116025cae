import { expect, it } from 'vitest';
import { errorFields, errorText, GatecastError } from '../src/errors.ts';
import { ATTRIBUTES, createLogger, type LogFields, type LogFormat, type LogLevel } from '../src/log.ts';

function make(journald = false, first: LogFormat = 'text') {
  const lines: string[] = [];
  let level: LogLevel = 'info';
  let format = first;
  const log = createLogger({
    level: () => level,
    format: () => format,
    resource: () => ({ 'service.name': 'gatecast', 'service.instance.id': 'cellar' }),
    write: (line) => lines.push(line),
    now: () => Date.UTC(2025, 0, 1),
    journald,
  });
  return {
    log,
    lines,
    set: (to: LogLevel) => {
      level = to;
    },
    setFormat: (to: LogFormat) => {
      format = to;
    },
    entries: () =>
      lines.map((line) => {
        expect(line).toMatch(/^[^\n]*\n$/);
        return JSON.parse(line) as Record<string, unknown>;
      }),
  };
}

it('writes a line an event', () => {
  const { log, lines } = make();
  log.info('broker connected', { url: 'mqtt://x', streams: 3, kept: true, none: null, absent: undefined });
  log.with({ stream: 'a b' }).warn('late', { by: '3"' });
  expect(lines).toEqual([
    '2025-01-01T00:00:00.000Z info  broker connected url=mqtt://x streams=3 kept=true none=null\n',
    '2025-01-01T00:00:00.000Z warn  late stream="a b" by="3\\""\n',
  ]);
});

it('leaves the time to journald and gives it the priority', () => {
  const { log, lines } = make(true);
  log.error('x');
  expect(lines).toEqual(['<3>x\n']);
});

it('follows its level while it runs', () => {
  const { log, lines, set } = make();
  log.debug('a');
  set('debug');
  log.debug('b');
  set('error');
  log.warn('c');
  expect(lines.length).toBe(1);
});

it('stays one line of plain text for any input', () => {
  const { log, lines } = make();
  log.info('x\ny', { topic: 'a\n2025 error fake\u001b[31m\u2028', long: 'z'.repeat(5000) });
  expect(lines[0]!.slice(0, -1)).not.toMatch(/\p{C}|\u2028/u);
  expect(lines[0]!.length).toBeLessThan(800);
});

it('a URL shows no user, password, query, fragment or token in its path', () => {
  const lines: string[] = [];
  const log = createLogger({ level: () => 'info', write: (line) => void lines.push(line), now: () => 0 });
  const secret = ['wss://me:pw@h:1/mqtt?token=s3cret', 'ws://h/s3cret99/x#s3cret', 'mqtt://h:1883/?a=s3cret'];
  for (const url of secret)
    log.warn('broker unreachable', { url, reason: `connect to "${url}" failed, ${url}` });
  expect(lines.join()).not.toMatch(/s3cret|pw@/);
  expect(lines[0]).toContain('wss://h:1/mqtt');
  expect(new GatecastError('BROKER_UNREACHABLE', `${secret[0]}: no`).message).toBe('wss://h:1/mqtt no');
  expect(errorText(new Error(`at ${secret[1]}`))).toBe('at ws://h/...');
});

it('writes one JSON object a line, with names of OpenTelemetry', () => {
  const { log, entries } = make(false, 'json');
  const part = log.with({ part: 'broker' });
  part.info('broker connected', { url: 'mqtt://x', session: true, none: null, absent: undefined });
  part.error('state not kept', { stream: 'a', ...errorFields(new GatecastError('STATE_MISMATCH', 'other')) });
  part.with({ part: 'store' }).warn('x', errorFields(Object.assign(new Error('full'), { code: 'ENOSPC' })));
  const resource = { 'service.name': 'gatecast', 'service.instance.id': 'cellar' };
  const time = '2025-01-01T00:00:00.000Z';
  expect(entries()).toEqual([
    {
      ...{ time, level: 'info', message: 'broker connected', ...resource },
      ...{ part: 'broker', 'url.full': 'mqtt://x', session: true, none: null },
    },
    {
      ...{ time, level: 'error', message: 'state not kept', ...resource },
      ...{ part: 'broker', stream: 'a', reason: 'other', 'error.type': 'STATE_MISMATCH' },
    },
    {
      ...{ time, level: 'warn', message: 'x', ...resource },
      ...{ part: 'store', reason: 'full', 'error.type': 'ENOSPC' },
    },
  ]);
  expect(Object.keys(entries()[0] ?? {}).slice(0, 3)).toEqual(['time', 'level', 'message']);
});

it('changes its format while it runs', () => {
  const { log, lines, setFormat } = make();
  log.info('a');
  setFormat('json');
  log.info('b');
  setFormat('text');
  log.info('c');
  expect(lines.map((line) => line[0])).toEqual(['2', '{', '2']);
});

it('gives journald the priority of a JSON line too', () => {
  const { log, lines } = make(true, 'json');
  log.warn('x');
  expect(lines[0]).toMatch(/^<4>\{"time":"2025-01-01T00:00:00.000Z","level":"warn","message":"x",.*\}\n$/);
});

const HOSTILE = [
  'a\nb',
  'a\r\n{"level":"error","message":"forged"}',
  '\u001b[31mred\u001b]0;title\u0007\u009b2J',
  '\u0000\u007f\u0085\u2028\u2029',
  '\u202eright to left\u2066',
  '\u{e0041}tag \u{f0000}private',
  '\ud800 a lone surrogate',
  '","level":"error","x":"',
  '{"time":1}',
  `${'\u001b'.repeat(2000)}`,
];

it.each(HOSTILE)(
  'no text begins a second line, controls a terminal or forges a field in JSON: %j',
  (text) => {
    for (const format of ['json', 'text'] as const) {
      const { log, lines } = make(false, format);
      log.with({ part: text }).info(text, { topic: text, [text.slice(0, 40)]: text } as LogFields);
      expect(lines.length).toBe(1);
      expect(lines[0]?.slice(0, -1)).not.toMatch(/[\p{C}\u2028\u2029]/u);
      expect(lines[0]?.endsWith('\n')).toBe(true);
      expect(lines[0]?.length).toBeLessThan(30_000);
      if (format === 'text') continue;
      const entry = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
      expect(entry).toMatchObject({ level: 'info', time: '2025-01-01T00:00:00.000Z' });
      // A reader of the object gets the text unchanged, up to its longest length.
      const topic = String(entry[ATTRIBUTES.topic ?? '']);
      expect(topic.slice(0, 500)).toBe(text.slice(0, 500));
      expect(entry.message).toBe(topic);
    }
  },
);

it('a field cannot replace the time, level or message of a JSON line', () => {
  const { log, entries } = make(false, 'json');
  const forged = { time: 'never', level: 'error', message: 'forged', part: 'x' } as unknown as LogFields;
  log.info('real', forged);
  expect(entries()).toMatchObject([
    { time: '2025-01-01T00:00:00.000Z', level: 'info', message: 'real', part: 'x' },
  ]);
});

it('URLs are without secrets in JSON, in the message too', () => {
  const { log, lines } = make(false, 'json');
  log.warn('at wss://me:pw@h:1/mqtt?token=s3cret', {
    url: 'ws://h/s3cret99/x',
    reason: 'see mqtt://u:pw@h/',
  });
  expect(lines.join()).not.toMatch(/s3cret|pw@/);
  expect(lines[0]).toContain('ws://h/...');
});

it('errors without a code have none', () => {
  expect(errorFields(new Error('a'))).toEqual({ reason: 'a' });
  expect(errorFields('a')).toEqual({ reason: 'a' });
  expect(errorFields(Object.assign(new Error('a'), { code: 5 }))).toEqual({ reason: 'a' });
});

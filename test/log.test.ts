import { expect, it } from 'vitest';
import { errorText, GatecastError } from '../src/errors.ts';
import { createLogger, type LogLevel } from '../src/log.ts';

function make(journald = false) {
  const lines: string[] = [];
  let level: LogLevel = 'info';
  const log = createLogger({
    level: () => level,
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

it('stays one line of plain text, whatever it is told', () => {
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

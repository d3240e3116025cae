/** What ends a probation, and what it may pass with. */
import { describe, expect, it } from 'vitest';
import { type AgentVitals, judge, type Trial } from '../../src/remote/probation.ts';

const SINCE = 1_000_000;
const LENGTH = 60_000;
const END = SINCE + LENGTH;

type Stream = AgentVitals['streams'][number];
/** A stream of 5 s that had a forecast at `activeMs`, the `forecasts`-th of the run. */
const stream = (name: string, forecasts: number, activeMs = END - 1000, intervalMs = 5000): Stream => ({
  name,
  forecasts,
  activeMs,
  intervalMs,
});
const before: AgentVitals = {
  connected: true,
  rssMb: 100,
  alerts: ['model'],
  stepFailures: 0,
  modelProblem: null,
  streams: [stream('a', 40, SINCE - 2000), stream('b', 40, SINCE - 2000)],
};
const trial: Trial = {
  before,
  ruleGone: false,
  otherModel: false,
  allStreams: true,
  delayMs: 0,
  sinceMs: SINCE,
  lengthMs: LENGTH,
  lostSinceMs: null,
};
const good: AgentVitals = { ...before, streams: [stream('a', 52), stream('b', 52)] };

type Row = readonly [name: string, failed: RegExp | null, now: Partial<AgentVitals>, trial?: Partial<Trial>];
const AT_THE_END: readonly Row[] = [
  ['all is as before', null, {}],
  ['an alert that was raised before', null, { alerts: ['model'] }],
  ['a new alert', /new alert was raised: stream-limit/, { alerts: ['model', 'stream-limit'] }],
  ['a little more memory', null, { rssMb: 190 }],
  ['memory that grew', /memory grew from 100 MB to 260 MB/, { rssMb: 260 }],
  ['no connection', /no connection to the broker/, { connected: false }],
  ['half of the forecasts', null, { streams: [stream('a', 46), stream('b', 46)] }],
  [
    'fewer than half',
    /2 of 2 streams .* or fewer than half/,
    { streams: [stream('a', 45), stream('b', 43)] },
  ],
  ['one stream of two is silent', /1 of 2 streams .*: b/, { streams: [stream('a', 52), stream('b', 40)] }],
  [
    'many new streams do not stand for one that is silent',
    /1 of 2 streams .*: b/,
    {
      streams: [
        stream('a', 52),
        stream('b', 40),
        ...Array.from({ length: 50 }, (_, at) => stream(`n${at}`, 9)),
      ],
    },
  ],
  ['a stream with another name', null, { streams: [stream('a', 52), stream('c', 8)] }],
  ['another name, and no forecast', /1 of 2 streams/, { streams: [stream('a', 52), stream('c', 0)] }],
  ['a stream is gone with its rule', null, { streams: [stream('a', 52)] }, { ruleGone: true }],
  ['a stream is gone, but no rule', /1 of 2 streams/, { streams: [stream('a', 52)] }],
  [
    'after a restart of many streams other names do not count',
    /1 of 2 streams/,
    { streams: [stream('a', 52), stream('c', 8)] },
    { allStreams: false },
  ],
  [
    'the change makes the interval longer than the probation',
    null,
    { streams: [stream('a', 52), stream('b', 40, SINCE - 2000, 300_000)] },
  ],
  [
    'a stream that was silent before',
    null,
    { streams: [stream('a', 52), stream('b', 40)] },
    { before: { ...before, streams: [stream('a', 40, SINCE - 2000), stream('b', 40, SINCE - 60_000)] } },
  ],
  [
    'a stream without forecasts in this run whose reading came before the change',
    /1 of 2 streams .*: b/,
    { streams: [stream('a', 52), stream('b', 0)] },
    { before: { ...before, streams: [stream('a', 40, SINCE - 2000), stream('b', 0, SINCE - 2000)] } },
  ],
  ['no stream at all, before and after', null, { streams: [] }, { before: { ...before, streams: [] } }],
];

describe('probation', () => {
  for (const [name, failed, now, change] of AT_THE_END)
    it(`at the end, with ${name}: ${failed === null ? 'passes' : 'fails'}`, () => {
      const verdict = judge({ ...trial, ...change }, { ...good, ...now }, END);
      expect(verdict.passed).toBe(failed === null);
      if (failed === null) expect(verdict.failed).toBeNull();
      else expect(verdict.failed).toMatch(failed);
    });

  it('goes on until its end, and fails at once where it can', () => {
    expect(judge(trial, good, END - 1)).toMatchObject({ passed: false, failed: null });
    expect(judge(trial, { ...good, rssMb: 260 }, SINCE + 1).failed).toMatch(/memory/);
    expect(judge(trial, { ...good, alerts: ['store'] }, SINCE + 1).failed).toMatch(/store/);
  });

  it('waits for a stream of a long interval, for three times its length at most', () => {
    const slow = (fast: number, forecasts: number, intervalMs = 50_000): AgentVitals => ({
      ...good,
      streams: [stream('a', fast, SINCE - 2000), stream('b', forecasts, SINCE - 2000, intervalMs)],
    });
    const began: Trial = { ...trial, before: slow(40, 40) };
    expect(judge(began, slow(52, 40), END)).toMatchObject({ passed: false, failed: null });
    expect(judge(began, slow(52, 41), END)).toMatchObject({ passed: true });
    expect(judge(began, slow(62, 40), SINCE + 100_001).failed).toMatch(/1 of 2 streams .*: b/);
    // A fast stream does not wait for the slow one.
    expect(judge(began, slow(40, 40), END).failed).toMatch(/1 of 1 streams .*: a/);
  });

  it('an interval that is too long for three probations: passes, and says which stream was not checked', () => {
    const slow = (forecasts: number, heardMs: number | null): AgentVitals => ({
      ...good,
      streams: [stream('a', 52, SINCE - 2000), { ...stream('b', forecasts, SINCE - 2000, 90_000), heardMs }],
    });
    const began: Trial = {
      ...trial,
      before: { ...good, streams: [stream('a', 40, SINCE - 2000), stream('b', 40, SINCE - 2000, 90_000)] },
    };
    const notes = (now: AgentVitals) => {
      const verdict = judge(began, now, END);
      expect(verdict).toMatchObject({ passed: true, failed: null });
      return verdict.notes;
    };
    expect(notes(slow(40, SINCE - 2000))).toEqual([
      expect.stringMatching(/not checked.*1 of the streams.*\(b\)/),
    ]);
    expect(notes(slow(40, null))).toHaveLength(1);
    // It still reads, or has even had a forecast.
    expect(notes(slow(40, SINCE + 1000))).toEqual([]);
    expect(notes(slow(41, SINCE + 1000))).toEqual([]);
  });

  it('does not count the delay of a busy machine, or of a restart', () => {
    const second = (forecasts: number): AgentVitals => ({
      ...good,
      streams: [stream('a', forecasts, SINCE - 500, 1000)],
    });
    const began: Trial = { ...trial, before: second(40), lengthMs: 2000, delayMs: 6000 };
    expect(judge(began, second(40), SINCE + 2500)).toMatchObject({ passed: true });
    const longer = { ...began, lengthMs: 4000 };
    expect(judge(longer, second(40), SINCE + 8000)).toMatchObject({ passed: false, failed: null });
    expect(judge(longer, second(40), SINCE + 8001).failed).toMatch(/1 of 1 streams/);
  });

  it('a connection may be away for a quarter of the probation', () => {
    const away = { ...good, connected: false };
    const first = judge(trial, away, SINCE + 1000);
    expect(first).toMatchObject({ failed: null });
    expect(judge(first.trial, away, SINCE + 15_999).failed).toBeNull();
    expect(judge(first.trial, away, SINCE + 16_000).failed).toMatch(/lost/);
    const back = judge(first.trial, good, SINCE + 15_999);
    expect(judge(back.trial, away, SINCE + 17_000).failed).toBeNull();
  });
});

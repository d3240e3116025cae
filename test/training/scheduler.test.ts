import { describe, expect, it } from 'vitest';
import { type Facts, SCHEDULER_DEFAULTS, Scheduler } from '../../src/training/scheduler.ts';

const HOUR = 3_600_000;
const START = Date.UTC(2024, 4, 1);
const settings = SCHEDULER_DEFAULTS;
const facts = (hours: number, more: Partial<Facts> = {}): Facts => ({
  nowMs: START + hours * HOUR,
  monotonicMs: hours * HOUR,
  clockSane: true,
  load: 0.1,
  temperature: 40,
  shortage: null,
  ...more,
});
/** One that has run before and is at rest. */
function rested(): Scheduler {
  const scheduler = new Scheduler(settings);
  expect(scheduler.next(facts(0))).toEqual({ type: 'start', trigger: 'initial' });
  scheduler.finished('refused', START);
  expect(scheduler.next(facts(0.1)).type).toBe('none');
  return scheduler;
}

describe('Scheduler', () => {
  it('starts automatically as soon as there are enough data, and then by the schedule', () => {
    const scheduler = new Scheduler(settings);
    expect(scheduler.next(facts(0, { shortage: 'too few samples' }))).toEqual({
      type: 'none',
      reason: 'too few samples',
    });
    expect(scheduler.next(facts(1))).toEqual({ type: 'start', trigger: 'initial' });
    scheduler.finished('promoted', START + HOUR);
    expect(scheduler.next(facts(3.2)).type).toBe('none');
    scheduler.request('schedule');
    expect(scheduler.next(facts(3.4))).toEqual({ type: 'start', trigger: 'schedule' });
    scheduler.finished('refused', START + 3.5 * HOUR);
    expect(scheduler.next(facts(20)).type).toBe('none');
  });

  it('counts a run that crashed the agent as a failure, but not an interrupted one', () => {
    const scheduler = rested();
    scheduler.request('request');
    scheduler.next(facts(1));
    const killed = new Scheduler(settings, scheduler.save());
    expect(killed.next(facts(1.01))).toMatchObject({ reason: 'waiting after a failure' });
    expect(killed.save()).toMatchObject({ failures: 1, running: false });
    expect(killed.next(facts(1.5)).type).toBe('start');
    scheduler.cutShort();
    const stopped = new Scheduler(settings, scheduler.save());
    expect(stopped.next(facts(1.01))).toEqual({ type: 'start', trigger: 'request' });
  });

  it('aborts a run that hangs', () => {
    const scheduler = new Scheduler({ ...settings, mostRunMs: 60_000 });
    scheduler.next(facts(1));
    expect(scheduler.next(facts(1.01)).type).toBe('none');
    expect(scheduler.next(facts(1.02))).toEqual({ type: 'stop', reason: 'not finished after 60 s' });
  });

  it('starts on drift, but not repeatedly', () => {
    const scheduler = rested();
    scheduler.request('drift');
    expect(scheduler.next(facts(2))).toMatchObject({ type: 'none', reason: expect.stringMatching(/recent/) });
    expect(scheduler.next(facts(6.1)).type).toBe('start');
    const deaf = new Scheduler({ ...settings, onDrift: false }, rested().save());
    deaf.request('drift');
    expect(deaf.next(facts(2))).toMatchObject({ reason: 'no trigger' });
  });

  it('starts on request at once, before any other trigger', () => {
    const scheduler = rested();
    scheduler.request('drift');
    scheduler.request('request');
    scheduler.request('drift');
    expect(scheduler.next(facts(1))).toEqual({ type: 'start', trigger: 'request' });
  });

  it.each([
    ['busy', { load: 0.9 }, /busy/],
    ['hot', { temperature: 80 }, /hot/],
    ['short of data', { shortage: 'too little' }, /too little/],
    ['without a clock', { clockSane: false }, /clock/],
  ])('does not begin while the machine is %s', (_, more, reason) => {
    const scheduler = rested();
    scheduler.request('request');
    expect(scheduler.next(facts(1, more))).toMatchObject({
      type: 'none',
      reason: expect.stringMatching(reason),
    });
    expect(scheduler.next(facts(1.1)).type).toBe('start');
  });

  it('keeps a pending request as it is when the same one comes again', () => {
    const scheduler = rested();
    scheduler.request('drift');
    const before = scheduler.save();
    scheduler.request('drift');
    expect(scheduler.save()).toBe(before);
  });

  it('aborts after the longest pause, not before, even if the machine is idle again by then', () => {
    const paused = (): Scheduler => {
      const scheduler = rested();
      scheduler.request('request');
      scheduler.next(facts(1));
      expect(scheduler.next(facts(1.25, { load: 2 })).type).toBe('pause');
      return scheduler;
    };
    expect(paused().next(facts(3.25, { load: 2 })).type).toBe('none');
    expect(paused().next(facts(3.25)).type).toBe('resume');
    expect(paused().next(facts(3.26))).toEqual({ type: 'stop', reason: 'paused too long: busy' });
  });

  it('starts if load and temperature cannot be read', () => {
    const scheduler = rested();
    scheduler.request('request');
    expect(scheduler.next(facts(1, { load: null, temperature: null })).type).toBe('start');
  });

  it('pauses a run while the processor is hot, continues after cooling down, and finally aborts', () => {
    const scheduler = rested();
    scheduler.request('request');
    scheduler.next(facts(1));
    expect(scheduler.next(facts(1.1, { temperature: 76 }))).toMatchObject({
      type: 'pause',
      reason: expect.stringMatching(/hot \(76/),
    });
    expect(scheduler.next(facts(1.2, { temperature: 72 })).type).toBe('none');
    expect(scheduler.next(facts(1.3, { temperature: 69 })).type).toBe('resume');
    expect(scheduler.next(facts(1.4)).type).toBe('none');
    expect(scheduler.next(facts(1.5, { load: 2 })).type).toBe('pause');
    expect(scheduler.next(facts(3.2, { load: 2 })).type).toBe('none');
    expect(scheduler.next(facts(3.5, { load: 2 }))).toMatchObject({
      type: 'stop',
      reason: expect.stringMatching(/too long/),
    });
    scheduler.finished('failed', START + 3.5 * HOUR);
    expect(scheduler.busy).toBe(false);
  });

  it('waits longer after each failure, and resets the count after a verdict', () => {
    const scheduler = rested();
    scheduler.request('request');
    let hours = 1;
    const waits: number[] = [];
    for (let failure = 0; failure < 9; failure++) {
      const asked = hours;
      while (scheduler.next(facts(hours)).type !== 'start') hours += 0.05;
      waits.push(hours - asked);
      scheduler.finished('failed', START + hours * HOUR);
    }
    expect(waits[1]).toBeCloseTo(0.25, 1);
    expect(waits[2]).toBeCloseTo(0.5, 1);
    expect(waits[3]).toBeCloseTo(1, 1);
    expect(Math.max(...waits)).toBeLessThan(24.2);
    const restarted = new Scheduler(settings, scheduler.save());
    expect(restarted.next(facts(hours + 1))).toMatchObject({ reason: 'waiting after a failure' });
    while (scheduler.next(facts(hours)).type !== 'start') hours += 0.1;
    scheduler.finished('refused', START + hours * HOUR);
    expect(scheduler.save()).toMatchObject({ failures: 0, pending: null });
  });

  it('is not blocked by a clock that jumped a year ahead and back', () => {
    const scheduler = rested();
    scheduler.request('request');
    expect(scheduler.next(facts(24 * 365)).type).toBe('start');
    scheduler.finished('failed', START + 24 * 366 * HOUR);
    expect(scheduler.next(facts(3)).type).toBe('none');
    expect(scheduler.next(facts(28)).type).toBe('start');
  });
});

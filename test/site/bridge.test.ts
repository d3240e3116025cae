// What a bridge sends, and when it acknowledges; JetStream is a stand-in here that fails on demand (test/fault has the real one).
import { describe, expect, it } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import { createLogger } from '../../src/log.ts';
import { decodeBatch } from '../../src/site/batch.ts';
import { type BridgeMessage, type BridgeSite, SiteBridge } from '../../src/site/bridge.ts';
import { partitionOf } from '../../src/site/names.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { testSpec } from '../support/specs.ts';

const log = createLogger({ level: () => 'error', write: () => {}, now: () => 0, journald: false });
const PARTITIONS = 4;
const settle = () => new Promise((resolve) => setImmediate(resolve));

function setUp(covariates: readonly string[] = []) {
  const clock = new FakeClock();
  const sent: { subject: string; text: string; answer: (error?: Error) => void }[] = [];
  const beats: string[] = [];
  const site = {
    name: 'p',
    partitions: PARTITIONS,
    publish: (subject: string, text: string) =>
      new Promise<void>((resolve, reject) => {
        sent.push({ subject, text, answer: (error) => (error ? reject(error) : resolve()) });
      }),
    nc: { publish: (subject: string) => void beats.push(subject), isClosed: () => false },
  } as unknown as BridgeSite;
  const bridge = new SiteBridge({
    site,
    member: 'b',
    clock,
    log,
    isCovariate: (stream) => covariates.includes(stream),
  });
  const acknowledged: string[] = [];
  const message = (name: string, ...streams: string[]): BridgeMessage => ({
    samples: streams.map((stream) => ({ stream, timeMs: 1000, value: 1, arrivalMs: 1000 })),
    discovered: [],
    acknowledge: () => void acknowledged.push(name),
  });
  const batches = () => sent.map(({ text }) => decodeBatch(Buffer.from(text)));
  return { clock, sent, beats, site, bridge, acknowledged, message, batches };
}

/** A name in each partition. */
const inPartition = (partition: number, nth = 0): string => {
  const names = Array.from({ length: 500 }, (_, at) => `s${at}`).filter(
    (n) => partitionOf(n, PARTITIONS) === partition,
  );
  return names[nth];
};

describe('a bridge', () => {
  it('sends a covariate and its settings to all partitions, others to one', async () => {
    const covariate = inPartition(0);
    const { bridge, sent, acknowledged, message, batches } = setUp([covariate]);
    const spec = testSpec(covariate);
    bridge.take([{ ...message('m', covariate, inPartition(1)), discovered: [{ spec }] }], 5000);
    await settle();
    const of = () =>
      Object.fromEntries(
        batches().map((batch, at) => [
          sent[at].subject.slice(-1),
          [batch.specs.map(({ name }) => name), batch.samples.map(({ stream }) => stream)],
        ]),
      );
    const copy = [[covariate], [covariate]];
    expect(of()).toEqual({ 0: copy, 1: [[covariate], [covariate, inPartition(1)]], 2: copy, 3: copy });
    for (const one of sent.slice(0, 3)) one.answer();
    await settle();
    expect(acknowledged).toEqual([]);
    sent[3].answer();
    await settle();
    expect(acknowledged).toEqual(['m']);
    sent.length = 0;
    bridge.take([message('n', covariate)], 6000);
    await settle();
    expect(batches().map(({ specs }) => specs)).toEqual([[], [], [], []]);
  });

  it('acknowledges a message when every partition has its readings', async () => {
    const { bridge, sent, acknowledged, message } = setUp();
    bridge.take([message('m', inPartition(0), inPartition(1))], 5000);
    await settle();
    expect(sent).toHaveLength(2);
    sent[0].answer();
    await settle();
    expect(acknowledged).toEqual([]);
    sent[1].answer();
    await settle();
    expect(acknowledged).toEqual(['m']);
  });

  it('keeps the order of a partition: one message is under way, and a failed one is repeated before the next', async () => {
    const { bridge, sent, acknowledged, message, clock, batches } = setUp();
    const stream = inPartition(2);
    bridge.take([message('1', stream)], 5000);
    await settle();
    bridge.take([message('2', stream), message('3', stream)], 6000);
    await settle();
    expect(sent).toHaveLength(1);
    sent[0].answer(new Error('timeout'));
    await settle();
    clock.advance(100);
    await settle();
    expect(sent).toHaveLength(2);
    expect(sent[1].text).toBe(sent[0].text);
    sent[1].answer();
    await settle();
    expect(acknowledged).toEqual(['1']);
    expect(batches()[2].samples).toHaveLength(2);
    sent[2].answer();
    await settle();
    expect(acknowledged).toEqual(['1', '2', '3']);
    expect(bridge.failures).toBe(1);
  });

  it('says how long a message waited, in the queue too, also when it has been acknowledged since the last look', async () => {
    const { bridge, sent, message, clock } = setUp();
    const stream = inPartition(2);
    expect(bridge.takeLongestWaitMs()).toBe(0);
    bridge.take([message('1', stream)], 5000);
    await settle();
    clock.advance(100);
    bridge.take([message('2', stream)], 5000);
    expect(bridge.takeLongestWaitMs()).toBe(100);
    clock.advance(300);
    sent[0].answer();
    await settle();
    clock.advance(400);
    expect(bridge.takeLongestWaitMs()).toBe(700);
    clock.advance(100);
    sent[1].answer();
    await settle();
    clock.advance(1000);
    expect(bridge.takeLongestWaitMs()).toBe(800);
    expect(bridge.takeLongestWaitMs()).toBe(0);
  });

  it('reports a partition that refuses for long, with the reason', async () => {
    const { bridge, sent, message, clock } = setUp();
    bridge.take([message('1', inPartition(0))], 5000);
    for (let attempt = 0; attempt < 5; attempt++) {
      await settle();
      sent[attempt].answer(new Error('maximum bytes exceeded'));
      await settle();
      clock.advance(3000);
    }
    expect(bridge.problems().join()).toContain('maximum bytes exceeded');
  });

  it('vouches for the time only where nothing is left to send', async () => {
    const { bridge, sent, message, batches } = setUp();
    const stream = inPartition(0);
    const many = Array.from({ length: 600 }, () => stream);
    bridge.take([message('1', ...many.slice(0, 400)), message('2', ...many.slice(0, 400))], 7000);
    await settle();
    sent[0].answer();
    await settle();
    bridge.take([message('3', ...many.slice(0, 400)), message('4', ...many.slice(0, 400))], 8000);
    for (const at of [1, 2]) {
      sent[at].answer();
      await settle();
    }
    bridge.take([message('5', stream)], null);
    sent[3].answer();
    await settle();
    // What was vouched for before still holds, but for a backlog, in which readings may come in any order.
    expect(batches().map(({ untilMs }) => untilMs)).toEqual([null, 7000, 7000, 8000, null]);
  });

  it('sends over a new connection what was under way on one that was closed', async () => {
    const { bridge, site, sent, acknowledged, message, clock, batches } = setUp();
    bridge.take([message('1', inPartition(0)), message('2', inPartition(1))], 5000);
    await settle();
    const again: string[] = [];
    const publish = async (_: string, text: string) => void again.push(text);
    bridge.reconnected({ ...site, publish });
    for (const { answer } of sent) answer(new Error('closed connection'));
    await settle();
    clock.advance(100);
    await settle();
    expect(acknowledged).toEqual(['1', '2']);
    expect(again.map((text) => decodeBatch(Buffer.from(text)))).toEqual(batches());
    expect(() => bridge.reconnected({ ...site, partitions: 8 })).toThrow(/8 partitions/);
  });

  it('sends the settings of a stream with its first reading, and again after an hour', async () => {
    const { bridge, sent, message, clock, batches } = setUp();
    const stream = inPartition(1);
    const discovered = [{ spec: testSpec(stream) }];
    bridge.take([{ ...message('1', stream), discovered }], null);
    for (const [at, ms] of [1000, 3_600_000].entries()) {
      await settle();
      sent[at].answer();
      await settle();
      clock.advance(ms);
      bridge.take([message('more', stream)], null);
    }
    await settle();
    expect(batches().map(({ specs }) => specs.length)).toEqual([1, 0, 1]);
  });

  it('sends the settings of all streams of a partition again when its log was deleted', async () => {
    const covariate = inPartition(0);
    const { bridge, sent, message, clock, batches } = setUp([covariate]);
    const streams = [covariate, inPartition(1, 0), inPartition(1, 1), inPartition(2)];
    const discovered = streams.map((stream) => ({ spec: testSpec(stream) }));
    bridge.take([{ ...message('1', ...streams), discovered }], null);
    await settle();
    for (const { answer } of sent.splice(0)) answer();
    await settle();
    clock.advance(1000);
    bridge.take([message('2', inPartition(1, 0), inPartition(2))], null);
    await settle();
    expect(batches().map(({ specs }) => specs)).toEqual([[], []]);
    for (const { subject, answer } of sent.splice(0))
      answer(
        subject.endsWith('.1') ? new GatecastError('SITE_FAILED', 'no stream takes the message') : undefined,
      );
    await settle();
    clock.advance(100);
    await settle();
    // The readings that the deleted log did not take come with the settings of their stream.
    expect(batches().map(({ specs }) => specs.map(({ name }) => name))).toEqual([[inPartition(1, 0)]]);
    for (const { answer } of sent.splice(0)) answer();
    await settle();
    clock.advance(1000);
    bridge.take([message('3', ...streams)], null);
    await settle();
    const named = Object.fromEntries(
      batches().map(({ specs }, at) => [sent[at].subject.slice(-1), specs.map(({ name }) => name)]),
    );
    expect(named).toEqual({ 0: [], 1: [covariate, inPartition(1, 1)], 2: [], 3: [] });
  });

  it('tells partitions without readings how late it is, once a second, but none that has readings under way', async () => {
    const { bridge, beats, message, clock } = setUp();
    bridge.take([message('1', inPartition(3))], 5000);
    bridge.beat();
    bridge.beat();
    expect(beats).toHaveLength(PARTITIONS - 1);
    expect(beats).not.toContain('gatecast.p.in.3');
    clock.advance(1000);
    bridge.beat();
    expect(beats).toHaveLength(2 * (PARTITIONS - 1));
  });

  it('acknowledges a message that came again when all that is under way is safe', async () => {
    const { bridge, sent, acknowledged, message } = setUp();
    bridge.take([message('1', inPartition(0))], 5000);
    bridge.take([message('again')], 5000);
    await settle();
    expect(acknowledged).toEqual([]);
    sent[0].answer();
    await settle();
    expect(acknowledged).toEqual(['1', 'again']);
  });
});

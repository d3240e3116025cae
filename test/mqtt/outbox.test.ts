import { describe, expect, it } from 'vitest';
import { Outbox } from '../../src/mqtt/outbox.ts';

const event = (payload: string) => ({ topic: 'e', payload, qos: 1, retain: false }) as const;
const kept = (topic: string, payload: string) => ({ topic, payload, qos: 1, retain: true }) as const;
function drain(outbox: Outbox): string[] {
  const texts: string[] = [];
  for (let next = outbox.take(); next !== null; next = outbox.take()) {
    texts.push(String(next.message.payload));
    outbox.done(next.key);
  }
  return texts;
}

describe('Outbox', () => {
  it('keeps the order, and only the newest message of a retained topic', () => {
    const outbox = new Outbox(10);
    for (const message of [kept('a', 'a1'), event('1'), kept('b', 'b1'), event('2'), kept('a', 'a2')])
      outbox.put(message);
    expect(outbox.size).toBe(4);
    expect(drain(outbox)).toEqual(['1', 'b1', '2', 'a2']);
    expect(outbox.size).toBe(0);
    expect(outbox.dropped).toBe(0);
  });

  it('drops and counts the oldest beyond its bound', () => {
    const outbox = new Outbox(3);
    for (let i = 0; i < 10; i++) outbox.put(event(String(i)));
    expect(outbox.dropped).toBe(7);
    expect(drain(outbox)).toEqual(['7', '8', '9']);
  });

  it('while connected, counts only waiting messages that nothing replaces against its bound', () => {
    const outbox = new Outbox(2);
    for (let round = 0; round < 3; round++) {
      for (const message of [event('1'), event('2'), kept('a', 'a1')]) outbox.put(message, true);
      expect(outbox.dropped).toBe(0);
      expect(drain(outbox)).toEqual(['1', '2', 'a1']);
    }
    for (const text of ['1', '2', '3']) outbox.put(event(text), true);
    expect(outbox.dropped).toBe(1);
    expect(drain(outbox)).toEqual(['2', '3']);
  });

  it('never has two unacknowledged messages of one retained topic', () => {
    const outbox = new Outbox(10);
    outbox.put(kept('a', 'a1'));
    const first = outbox.take()!;
    outbox.put(kept('a', 'a2'));
    outbox.put(event('1'));
    expect(outbox.take()?.message.payload).toBe('1');
    expect(outbox.oldestUnderWay).toBe(first);
    expect(outbox.take()).toBeNull();
    outbox.done(first.key);
    expect(outbox.take()?.message.payload).toBe('a2');
  });

  it('sends unacknowledged messages again before the rest, unless a newer one replaced them', () => {
    const outbox = new Outbox(10);
    for (const message of [event('1'), kept('a', 'a1'), kept('b', 'b1'), event('2')]) outbox.put(message);
    outbox.done(outbox.take()!.key);
    outbox.take();
    outbox.take();
    outbox.put(kept('a', 'a2'));
    outbox.rewind();
    expect(outbox.underWay).toBe(0);
    expect(drain(outbox)).toEqual(['b1', '2', 'a2']);
  });
});

describe('Outbox of a broker that is connected', () => {
  it('drops no topic, and a topic that is replaced again and again keeps its turn', () => {
    const outbox = new Outbox(3);
    for (let i = 0; i < 10; i++) outbox.put(kept(`t${i}`, 'old'), true);
    for (let i = 0; i < 10; i++) outbox.put(kept(`t${i}`, `new${i}`), true);
    outbox.put(kept('t0', 'newest'), true);
    expect(outbox.dropped).toBe(0);
    expect(drain(outbox)).toEqual(['newest', ...Array.from({ length: 9 }, (_, i) => `new${i + 1}`)]);
  });

  it('bounds messages that are not retained, without loss of retained ones', () => {
    const outbox = new Outbox(3);
    outbox.put(kept('a', 'a'), true);
    for (let i = 0; i < 10; i++) outbox.put(event(String(i)), true);
    expect(outbox.dropped).toBe(7);
    expect(drain(outbox)).toEqual(['a', '7', '8', '9']);
  });
});

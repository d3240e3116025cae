import { describe, expect, test } from 'vitest';
import { ClockHold, MAX_AWAY_MS } from '../../src/agent/clock-hold.ts';
import { isClockSet } from '../../src/system/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';

function setUp(isBridge = false, keptMs = 3_600_000) {
  const clock = new FakeClock();
  const probes: ((holdsBack: boolean) => void)[] = [];
  let windows = 0;
  const hold = new ClockHold({
    clock,
    streams: () => [],
    probe: (answered) => probes.push(answered),
    relearnWindow: () => windows++,
    keptMs: () => keptMs,
    isBridge,
  });
  /** How far behind the wall clock buckets may be closed, ms; null: not at all. */
  const behind = (): number | null => {
    const until = hold.closeUntil();
    return until === null ? null : clock.now() - until;
  };
  /** As the pipeline does: asks often. */
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= 100) {
      clock.advance(Math.min(100, left));
      hold.closeUntil();
    }
  };
  /** Connected, answered, and without a backlog. */
  const live = (): void => {
    hold.connected({ resumed: true });
    hold.subscribed();
    pass(300);
    expect(behind()).toBe(0);
  };
  return { clock, hold, probes, relearnt: () => windows, behind, pass, live };
}

describe('ClockHold', () => {
  test('a clock that was never set is not sane', () => {
    expect(isClockSet(0)).toBe(false);
    expect(isClockSet(Date.UTC(2023, 11, 31))).toBe(false);
    expect(isClockSet(Date.UTC(2024, 0, 1))).toBe(true);
  });

  test('without a broker it releases the clock after a while', () => {
    const { pass, behind } = setUp();
    pass(4900);
    expect(behind()).toBeNull();
    pass(100);
    expect(behind()).toBe(0);
  });

  test('the wait for a broker begins when the streams are restored, however long that takes', () => {
    const { clock, hold, pass, behind } = setUp();
    clock.advance(20_000);
    hold.start();
    pass(4900);
    expect(behind()).toBeNull();
    pass(100);
    expect(behind()).toBe(0);
  });

  test('a bridge whose broker keeps nothing waits for the connection as long as other agents', () => {
    const { pass, behind } = setUp(true, 0);
    pass(4900);
    expect(behind()).toBeNull();
    pass(100);
    expect(behind()).toBe(0);
  });

  test('a bridge waits for the broker after a slow start, and for its answers, however long they take', () => {
    const { hold, probes, pass, behind } = setUp(true);
    pass(60_000);
    expect(behind()).toBeNull();
    hold.connected({ resumed: true });
    pass(10_000);
    expect(behind()).toBeNull();
    hold.subscribed();
    hold.arrived(20_000);
    pass(2000);
    expect(probes).toHaveLength(1);
    expect(behind()).toBeNull();
    // Acknowledged meanwhile: the broker may send more before it answers.
    probes[0](false);
    pass(2000);
    expect(probes).toHaveLength(2);
    hold.arrived(20_000);
    probes[1](false);
    pass(600);
    expect(probes).toHaveLength(3);
    expect(behind()).toBeNull();
    probes[2](false);
    pass(300);
    // Up to when it was asked, 500 ms after the last old reading.
    expect(behind()).toBe(400);
  });

  test('a bridge vouches for no time while its broker holds messages back, however long that takes, and then up to its last question', () => {
    const { clock, hold, probes, pass, behind } = setUp(true);
    hold.connected({ resumed: true });
    for (let i = 0; i < 600; i++) {
      hold.arrived(20_000);
      pass(100);
      for (const answered of probes.splice(0)) answered(true);
      expect(behind()).toBeNull();
    }
    pass(100);
    // The broker has sent all. Then the process does not run for a while, and looks at the clock before it reads from its socket.
    for (const answered of probes.splice(0)) answered(false);
    clock.advance(4000);
    expect(behind()).toBeGreaterThanOrEqual(4000);
    for (const holdsBack of [true, false]) {
      expect(behind()).toBeGreaterThanOrEqual(4000);
      hold.wantProof();
      for (const answered of probes.splice(0)) answered(holdsBack);
    }
    expect(behind()).toBe(0);
  });

  test('the window of the broker is learnt again when messages cannot be acknowledged, and after a backlog', () => {
    const { hold, relearnt, pass, live } = setUp();
    live();
    expect(relearnt()).toBe(1);
    for (let i = 0; i < 5; i++) {
      hold.heldBack();
      pass(100);
    }
    expect(relearnt()).toBe(2);
  });

  test('a bridge whose readings are always old vouches 15 s after its broker held back the last', () => {
    const { hold, probes, pass, behind } = setUp(true);
    hold.connected({ resumed: true });
    const arrive = (ms: number, holdsBack: boolean): void => {
      for (let left = ms; left > 0; left -= 100) {
        hold.arrived(300_000);
        for (const answered of probes.splice(0)) answered(holdsBack);
        pass(100);
      }
    };
    arrive(30_000, true);
    arrive(14_000, false);
    expect(behind()).toBeNull();
    arrive(1200, false);
    expect(behind()).not.toBeNull();
  });

  test('a bridge that never finds a broker, or whose readings are always old, closes buckets in the end', () => {
    const { hold, probes, pass, behind } = setUp(true);
    pass(MAX_AWAY_MS);
    expect(behind()).toBe(0);
    hold.connected({ resumed: false });
    hold.subscribed();
    for (let i = 0; i < 160; i++) {
      hold.arrived(2000);
      probes.shift()?.(false);
      pass(100);
    }
    expect(behind()).toBe(0);
  });

  test('reports why no bucket is closed, and the latest time at which closing starts', () => {
    const { clock, hold, pass, live } = setUp();
    expect(hold.waiting()).toEqual({ reason: 'start', untilMs: clock.now() + 5000 });
    pass(1000);
    expect(hold.waiting()).toEqual({ reason: 'start', untilMs: clock.now() + 4000 });
    hold.connected({ resumed: true });
    expect(hold.waiting()).toEqual({ reason: 'backlog', untilMs: clock.now() + 15_000 });
    live();
    expect(hold.waiting()).toBeNull();
    hold.disconnected();
    const until = clock.now() + MAX_AWAY_MS;
    pass(60_000);
    const waiting = hold.waiting();
    expect(waiting?.reason).toBe('away');
    expect(Math.abs((waiting?.untilMs ?? 0) - until)).toBeLessThan(1000);
    pass(MAX_AWAY_MS);
    expect(hold.waiting()).toBeNull();
    clock.jump(-clock.now());
    expect(hold.waiting()).toEqual({ reason: 'clock', untilMs: null });
  });

  test('releases the clock soon after the broker has answered the subscriptions', () => {
    const { hold, pass, behind } = setUp();
    hold.connected({ resumed: true });
    pass(900);
    expect(behind()).toBeNull();
    hold.subscribed();
    pass(249);
    expect(behind()).toBeNull();
    pass(1);
    expect(behind()).toBe(0);
  });

  test('does not wait for ever for a broker that never answers', () => {
    const { hold, pass, behind } = setUp();
    hold.connected({ resumed: true });
    pass(2999);
    expect(behind()).toBeNull();
    pass(1);
    expect(behind()).toBe(0);
  });

  test('waits for the backlog to end, not for live readings', () => {
    const { hold, probes, pass, behind } = setUp();
    hold.connected({ resumed: true });
    hold.subscribed();
    pass(300 - 60);
    hold.arrived(60_000);
    pass(400);
    hold.arrived(60_000);
    pass(450);
    hold.arrived(20);
    expect(behind()).toBeNull();
    pass(50);
    // No old reading for half a second. Acknowledgements may still let the broker send more.
    expect(behind()).toBeNull();
    probes[0](false);
    pass(250);
    hold.arrived(20);
    expect(behind()).toBe(0);
    hold.arrived(60_000);
    expect(behind()).toBe(0);
  });

  test('readings that come after a pause are a backlog as long as the broker holds messages back', () => {
    const { hold, probes, pass, behind } = setUp();
    hold.connected({ resumed: true });
    hold.subscribed();
    // Each acknowledgement takes longer than the pause that ends a backlog.
    for (let i = 0; i < 10; i++) {
      hold.arrived(60_000 - 900 * i);
      for (const answered of probes.splice(0)) answered(true);
      pass(900);
      expect(hold.inBacklog).toBe(true);
      expect(behind()).toBeNull();
    }
    for (const answered of probes.splice(0)) answered(true);
    pass(100);
    for (const answered of probes.splice(0)) answered(false);
    pass(500);
    expect(behind()).not.toBeNull();
  });

  test('readings without a time stamp, which seem old during a backlog, do not prolong it once the broker holds nothing back', () => {
    const { hold, probes, pass, behind } = setUp();
    hold.connected({ resumed: true });
    hold.subscribed();
    hold.arrived(60_000);
    pass(600);
    expect(probes).toHaveLength(1);
    probes[0](false);
    // Once a second, and processed for 400 ms.
    for (let i = 0; i < 4; i++) {
      hold.arrived(30_000);
      pass(100);
    }
    expect(behind()).not.toBeNull();
  });

  test('at QoS 0 the second question does not wait for a pause of the old readings; a bridge waits', () => {
    for (const isBridge of [false, true]) {
      const { hold, probes, pass, behind } = setUp(isBridge, 0);
      hold.connected({ resumed: true });
      hold.subscribed();
      if (isBridge) {
        pass(100);
        probes.splice(0)[0](false);
      }
      hold.arrived(30_000);
      pass(300);
      expect(probes).toHaveLength(isBridge ? 0 : 1);
      if (isBridge) continue;
      expect(behind()).toBeNull();
      probes[0](false);
      hold.arrived(30_000);
      pass(200);
      expect(behind()).toBeNull();
      pass(100);
      expect(behind()).not.toBeNull();
    }
  });

  test('readings at QoS 1, which a session kept before the config changed to QoS 0, are waited for as at QoS 1', () => {
    const { hold, probes, pass } = setUp(false, 0);
    hold.connected({ resumed: true });
    hold.subscribed();
    hold.heard(true);
    hold.arrived(30_000);
    pass(400);
    expect(probes).toHaveLength(0);
    pass(100);
    expect(probes).toHaveLength(1);
    // The next connection has none.
    hold.disconnected();
    hold.connected({ resumed: true });
    hold.subscribed();
    hold.heard(false);
    hold.arrived(30_000);
    pass(300);
    expect(probes).toHaveLength(2);
  });

  test('a broker that holds back messages whenever it is asked does not hold the clock for ever', () => {
    const { hold, probes, pass, behind } = setUp();
    hold.connected({ resumed: true });
    hold.subscribed();
    hold.arrived(60_000);
    let asked = 0;
    for (let t = 0; t < 14_900; t += 100) {
      asked += probes.length;
      for (const answered of probes.splice(0)) answered(true);
      pass(100);
      expect(behind()).toBeNull();
    }
    pass(200);
    expect(behind()).not.toBeNull();
    // Not with each of the many calls of a busy agent.
    expect(asked).toBeLessThan(150);
    expect(asked).toBeGreaterThan(100);
  });

  test('streams that are always late do not hold the clock forever', () => {
    const { hold, pass, behind } = setUp();
    hold.connected({ resumed: true });
    for (let t = 0; t < 15_000; t += 100) {
      hold.arrived(300_000);
      expect(behind()).toBeNull();
      pass(100);
    }
    expect(behind()).toBe(0);
  });

  test('readings that the socket still holds after the connection is lost are a backlog', () => {
    const { hold, pass, behind } = setUp();
    hold.connected({ resumed: true });
    hold.subscribed();
    pass(1000);
    behind();
    hold.arrived(20);
    expect(hold.backlogFrom()).toBeNull();
    hold.disconnected();
    pass(12_000);
    expect(hold.backlogFrom()).not.toBeNull();
  });

  test('a backlog may take as long as the absence before it did', () => {
    const { hold, probes, pass, behind } = setUp();
    hold.connected({ resumed: true });
    hold.subscribed();
    pass(1000);
    behind();
    hold.arrived(20);
    expect(behind()).toBe(0);
    hold.disconnected();
    pass(100_000);
    hold.connected({ resumed: true });
    for (let t = 0; t < 99_000; t += 500) {
      hold.arrived(100_000 - t);
      pass(499);
      expect(behind()).not.toBe(0);
      pass(1);
    }
    // The first answer comes after the last old reading, the second proves that no more were on their way.
    for (let i = 0; i < 2; i++) {
      pass(600);
      for (const answered of probes.splice(0)) answered(false);
    }
    pass(300);
    hold.arrived(20);
    expect(behind()).toBe(0);
  });

  test('holds the clock while the connection is lost and until the new one has delivered the backlog', () => {
    const { clock, hold, probes, pass, behind, live } = setUp();
    live();
    const lostAt = clock.now();
    hold.disconnected();
    pass(40_000);
    expect(behind()).toBeNull();
    hold.connected({ resumed: true });
    expect(hold.backlogFrom()).toBe(lostAt);
    hold.subscribed();
    hold.arrived(39_000);
    pass(500);
    expect(behind()).toBeNull();
    probes[0](false);
    pass(250);
    // Up to when the broker was asked whether there are more.
    expect(behind()).toBe(250);
    expect(hold.backlogFrom()).toBeNull();
  });

  test('a broker that had not kept the session has no backlog', () => {
    const { hold, pass, live } = setUp();
    live();
    hold.disconnected();
    pass(1000);
    hold.connected({ resumed: false });
    expect(hold.backlogFrom()).toBeNull();
  });

  test('a broker that stays away does not hold the clock for ever', () => {
    const { hold, pass, behind, live } = setUp();
    live();
    hold.disconnected();
    pass(MAX_AWAY_MS - 100);
    expect(behind()).toBeNull();
    pass(100);
    expect(behind()).toBe(0);
  });

  test('closes only buckets older than an answered probe or a live reading', () => {
    const { hold, probes, pass, behind, live } = setUp();
    live();
    pass(1000);
    expect(behind()).toBe(1000);
    hold.wantProof();
    hold.wantProof();
    expect(probes.length).toBe(1);
    pass(10);
    probes[0]?.(false);
    expect(behind()).toBe(0);
    pass(1000);
    hold.heard(true);
    hold.arrived(20);
    expect(behind()).toBe(0);
  });

  test('after a silent network a backlog is expected, whether a reading or the answer comes first', () => {
    for (const first of ['reading', 'answer']) {
      const { clock, hold, probes, pass, behind, live } = setUp();
      live();
      const provenAt = clock.now();
      pass(1000);
      hold.wantProof();
      pass(24_000);
      expect(behind()).toBe(25_000);
      if (first === 'reading') hold.heard(true);
      for (const answered of probes.splice(0)) answered(false);
      expect(hold.backlogFrom()).toBe(provenAt);
      hold.arrived(24_000);
      pass(400);
      expect(behind()).toBeNull();
      for (const answered of probes.splice(0)) answered(false);
      pass(300);
      expect(behind()).toBeNull();
      const askedAgain = probes.length;
      for (const answered of probes.splice(0)) answered(false);
      pass(300);
      // After an answer that came before the old reading, the broker is asked again.
      expect(askedAgain).toBe(1);
      expect(hold.inBacklog).toBe(false);
      expect(behind()).toBeLessThanOrEqual(600);
    }
  });

  test('a process that was stopped for a while probes the broker before it closes a bucket', () => {
    const { clock, hold, probes, pass, behind, live } = setUp();
    live();
    clock.advance(120_000);
    expect(behind()).toBeNull();
    expect(probes.length).toBe(1);
    pass(10_000);
    expect(behind()).toBeNull();
    hold.disconnected();
    hold.connected({ resumed: true });
    hold.subscribed();
    expect(hold.backlogFrom()).toBeLessThan(clock.now() - 100_000);
    pass(500);
    expect(behind()).toBe(200);
  });

  test('a machine that was suspended, whose monotonic clock stood still, does the same', () => {
    const { clock, probes, behind, live } = setUp();
    live();
    clock.jump(600_000);
    clock.advance(10);
    expect(behind()).toBeNull();
    expect(probes.length).toBe(1);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { homeAssistantTopics, isTopicName, topicsOf } from '../../src/mqtt/topics.ts';

describe('topicsOf', () => {
  const topics = topicsOf('gatecast', 'cellar');

  it('names every topic as documented', () => {
    expect(topics.status).toBe('gatecast/cellar/status');
    expect(topics.health).toBe('gatecast/cellar/health');
    expect(topics.forecast('pump/temperature')).toBe('gatecast/cellar/forecast/pump/temperature');
    expect(topics.forecastAt('pump', '1h')).toBe('gatecast/cellar/forecast/pump/at/1h');
    expect(topics.score('pump')).toBe('gatecast/cellar/score/pump');
    expect(topics.anomaly('pump')).toBe('gatecast/cellar/anomaly/pump');
    expect(topics.alert('clock')).toBe('gatecast/cellar/alert/clock');
    expect(topics.model('base')).toBe('gatecast/cellar/model/base');
    expect(topics.configDesired).toBe('gatecast/cellar/config/desired');
    expect(topics.configReported).toBe('gatecast/cellar/config/reported');
    expect(topics.fleetConfigDesired('south')).toBe('gatecast/fleet/south/config/desired');
    expect(topics.requests).toBe('gatecast/cellar/request/+');
    expect(topics.response('backup')).toBe('gatecast/cellar/response/backup');
    expect(topicsOf('site/a', 'n').status).toBe('site/a/n/status');
    expect(homeAssistantTopics('homeassistant').device('x')).toBe('homeassistant/device/x/config');
  });

  it('reads the verb of a request', () => {
    expect(topics.requestVerb('gatecast/cellar/request/reload')).toBe('reload');
    expect(topics.requestVerb('gatecast/cellar/request/')).toBeNull();
    expect(topics.requestVerb('gatecast/cellar/request/a/b')).toBeNull();
    expect(topics.requestVerb('gatecast/other/request/reload')).toBeNull();
  });

  it.each(['+', '#', 'a/#', 'a/+/b', '', '/a', 'a/', 'a//b', 'a\0b', '\ud800', 'x'.repeat(70_000)])(
    'refuses %j',
    (name) => {
      expect(isTopicName(name)).toBe(false);
      expect(() => topics.forecast(name)).toThrowError(expect.objectContaining({ code: 'INTERNAL' }));
      expect(() => topicsOf('gatecast', name)).toThrowError(expect.objectContaining({ code: 'INTERNAL' }));
    },
  );

  it('takes a topic of the most bytes that MQTT allows', () => {
    expect(isTopicName('é'.repeat(32_767))).toBe(true);
    expect(isTopicName(`${'é'.repeat(32_767)}a`)).toBe(true);
    expect(isTopicName('é'.repeat(32_768))).toBe(false);
    expect(() => topics.score('é'.repeat(32_767))).toThrow(/not a valid topic/);
  });

  it('reads model and number of a chunk, and nothing else', () => {
    const { chunkOf, modelChunk } = topicsOf('gatecast', 'n');
    expect(chunkOf(modelChunk('mine', 0))).toEqual({ name: 'mine', number: 0 });
    expect(chunkOf(modelChunk('mine', 999_999))).toEqual({ name: 'mine', number: 999_999 });
    for (const end of [
      'mine/chunk/01',
      'mine/chunk/1000000',
      'mine/chunk/x',
      'mine/chunk/1/2',
      'a/b/chunk/1',
      'mine',
    ])
      expect(chunkOf(`gatecast/n/model/${end}`), end).toBeNull();
    expect(chunkOf('gatecast/other/model/mine/chunk/1')).toBeNull();
  });

  it('makes a topic of two levels more, or none', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        let topic: string;
        try {
          topic = topics.score(name);
        } catch {
          return !isTopicName(name);
        }
        return (
          topic.startsWith('gatecast/cellar/score/') &&
          !/[+#\0]/.test(topic) &&
          !topic.split('/').includes('')
        );
      }),
    );
  });
});

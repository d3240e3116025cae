/** Devices of several families that have the same name. */
import { describe, expect, it } from 'vitest';
import { tryOut } from '../../../src/cli/init/findings.ts';
import { parseConfig } from '../../../src/config/index.ts';
import { suggestConfig } from '../../../src/config/suggest/suggest.ts';
import { Survey } from '../../../src/ingest/survey.ts';

/** Topic and payload of the n-th message of each device. */
type Sent = readonly (readonly [topic: string, payload: (n: number) => string])[];

const ESPHOME: Sent = [['cellar/sensor/temperature/state', (n) => `${6 + n / 10}`]];
const ZIGBEE: Sent = [['zigbee2mqtt/cellar', (n) => `{"temperature":${4 + n / 10},"linkquality":9}`]];
const SHELLY: Sent = [['shellies/cellar/sensor/temperature', (n) => `${7 + n / 10}`]];
const VICTRON: Sent = [['N/c0619ab/system/0/Dc/Battery/Soc', (n) => `{"value":${50 + n}}`]];

/** The suggested config applied to the messages that it was suggested for. */
function suggested(sent: Sent, existing: readonly string[] = []) {
  const survey = new Survey();
  const recording = Array.from({ length: 6 }, (_, n) =>
    sent.map(([topic, payload]) => ({
      topic,
      payload: Buffer.from(payload(n)),
      arrivalMs: 1.7e12 + n * 10_000,
    })),
  ).flat();
  for (const { topic, payload, arrivalMs } of recording) survey.hear(topic, payload, arrivalMs, false);
  const text = suggestConfig({ node: 'n', mqtt: { url: 'mqtt://b' } }, survey, existing);
  const heard = tryOut(parseConfig(text), recording);
  return {
    names: heard
      .streams()
      .map(({ stream }) => stream)
      .sort(),
    rejects: heard.rejects(),
    text,
  };
}

describe('devices of several families with the same name', () => {
  it('are streams of their own, the first without a prefix', () => {
    const { names, rejects, text } = suggested([...ESPHOME, ...ZIGBEE, ...SHELLY]);
    expect(rejects).toEqual([]);
    expect(names).toEqual([
      'cellar/temperature',
      expect.stringMatching(/^shellies\/cellar\//),
      'zigbee2mqtt/cellar/temperature',
    ]);
    expect(text).toMatch(/match: "zigbee2mqtt\/\{device\}"\n +payload: zigbee2mqtt\n +name: "zigbee2mqtt\//);
  });

  it('do not take the names of the config that they are added to', () => {
    const { names, rejects } = suggested([...ESPHOME, ...ZIGBEE], ['cellar/temperature']);
    expect(rejects).toEqual([]);
    expect(names).toEqual(['esphome/cellar/temperature', 'zigbee2mqtt/cellar/temperature']);
  });

  it('have no prefix where no other device has their name', () => {
    expect(suggested([...ZIGBEE, ...VICTRON], ['attic/temperature']).names).toEqual(
      [...suggested(ZIGBEE).names, ...suggested(VICTRON).names].sort(),
    );
  });
});

/** What tells the devices and quantities of one topic apart, in payloads of no known family. */
import { describe, expect, it } from 'vitest';
import { suggested } from './heard.ts';

const two = (a: object, b: object) => (at: number) => [
  ['gw/x', { ...a, temperature: 20 + at }] as const,
  ['gw/x', { ...b, temperature: 10 + at }] as const,
];

describe('devices of one topic', () => {
  it.each([
    [{ NodeID: 3 }, { NodeID: 4 }, '{/NodeID}/{field}'],
    [{ 'device-id': 'a' }, { 'device-id': 'b' }, '{/device-id}/{field}'],
    [{ 'Device Name': 'a' }, { 'Device Name': 'b' }, '{/Device Name}/{field}'],
    [{ imei: '356938035643809' }, { imei: '356938035643810' }, '{/imei}/{field}'],
    [{ sender: '01:94:E3:B9' }, { sender: '01:94:E3:C0' }, '{/sender}/{field}'],
    [{ from: 2130636288, sender: '!7e' }, { from: 2130636999, sender: '!7e' }, '{/from}/{field}'],
    [{ data: { mac: 'A4:C1:38:01' } }, { data: { mac: 'A4:C1:38:02' } }, '{/data/mac}/{field}'],
    [{ room: 'kitchen' }, { room: 'bath' }, '{topic}/{/room}/{field}'],
    [{ dev: 'temp', circuit: '28AB' }, { dev: 'temp', circuit: '28CD' }, '{/circuit}/{field}'],
    [{ tagPath: 'A/T1' }, { tagPath: 'A/T2' }, '{/tagPath}/{field}'],
    [{ ga: '1/2/3', dpt: '9.001' }, { ga: '1/2/4', dpt: '9.001' }, '{topic}/{/ga}/{field}'],
    [{ dest: '1/2/3', src: '1.1.5' }, { dest: '1/2/4', src: '1.1.5' }, '{topic}/{/dest}/{field}'],
  ])('are told apart by %j', (a, b, name) => {
    const { config, streams, rejects } = suggested(two(a, b));
    expect(config.streams).toMatchObject([{ match: 'gw/x', name }]);
    expect(Object.keys(streams)).toHaveLength(2);
    expect(rejects).toEqual([]);
  });

  it.each([
    ['a number of the message', { id: '0b734138-037d-434e-aaaa-403fb0c34b9' }],
    ['its type, if the reading has a name', { type: 'report' }],
  ])('are not told apart by %s', (_, member) => {
    const { config } = suggested((at) => [
      [
        'gw/x',
        {
          ...('id' in member ? { id: `${member.id}${at}` } : { type: at % 2 ? 'event' : 'report' }),
          temperature: 20,
        },
      ],
    ]);
    expect(config.streams).toHaveLength(1);
    expect(config.streams[0]?.name).toBeUndefined();
  });

  it.each([
    [
      { from: '10:00', to: '11:00' },
      { from: '11:00', to: '12:00' },
    ],
    [
      { from: 'idle', to: 'run' },
      { from: 'run', to: 'idle' },
    ],
    [
      { from: 0, to: 100 },
      { from: 10, to: 100 },
    ],
  ])('are not told apart by the ends of a range, as in %j', (a, b) => {
    const { config } = suggested(two(a, b));
    expect(config.streams.map(({ name }) => name)).toEqual([undefined]);
  });

  it.each(['slave_id', 'id'])('keep their topic where those of several gateways have the same %s', (key) => {
    const { config, streams } = suggested((at) =>
      ['modbus/a', 'modbus/b'].flatMap((topic) =>
        [1, 2].map((address, n) => [topic, { [key]: address, temperature: 20 + at + n }] as const),
      ),
    );
    expect(config.streams).toMatchObject([{ match: 'modbus/{device}' }]);
    expect(Object.keys(streams)).toHaveLength(4);
  });

  it('keep their topic where several controllers number their readings alike', () => {
    const { streams } = suggested((at, nowMs) =>
      ['PLC1', 'PLC2'].map((plc) => [
        `dp/${plc}/default`,
        {
          seq: at,
          vals: ['101', '102'].map((id) => ({ id, ts: new Date(nowMs).toISOString(), val: 20 + at })),
        },
      ]),
    );
    expect(Object.keys(streams)).toHaveLength(4);
  });

  it('keep their topic where rooms have the same names', () => {
    const { streams } = suggested((at) =>
      ['floor1/x', 'floor2/x'].flatMap((topic) =>
        ['kitchen', 'bath'].map((room, n) => [topic, { room, temperature: 20 + at + n }] as const),
      ),
    );
    expect(Object.keys(streams).sort()).toEqual([
      'floor1/x/bath/temperature',
      'floor1/x/kitchen/temperature',
      'floor2/x/bath/temperature',
      'floor2/x/kitchen/temperature',
    ]);
  });
});

describe('quantities of one topic', () => {
  it.each([
    [{ slave: 1, register: 'flow' }, { slave: 1, register: 'level' }, '{topic}/{/register}/{field}'],
    [{ type: 'temp' }, { type: 'hum' }, '{topic}/{/type}/{field}'],
    [{ unit: 1, register: 30001 }, { unit: 2, register: 30001 }, '{/unit}/{field}'],
  ])('are told apart by %j beside a value', (a, b, name) => {
    const { config, streams } = suggested((at) => [
      ['plant/modbus', { ...a, value: 20 + at }],
      ['plant/modbus', { ...b, value: 50 + at }],
    ]);
    expect(config.streams).toMatchObject([{ name }]);
    expect(Object.keys(streams)).toHaveLength(2);
  });
});

describe('readings of a topic', () => {
  it('of a batch are told apart by an integer that comes again at another time, not by the number of a record', () => {
    const batch = (ids: readonly number[], nowMs: number) =>
      ids.map((id) => ({ id, time: nowMs - id * 10, v: id }));
    const { config } = suggested((at, nowMs) => [
      ['s/devices', batch([1, 2], nowMs)],
      [
        's/records/all',
        [at, at + 1].map((id) => ({ id: 100 + id, time: new Date(1_790_000_000_000 + id * 60_000), v: id })),
      ],
    ]);
    const names = config.streams.map(({ match, name }) => [match, name]);
    expect(names).toEqual([
      ['s/devices', '{/id}/{field}'],
      ['s/records/all', undefined],
    ]);
  });

  it('are no settings, codes of errors, types of OPC UA or members of a radio', () => {
    const { streams } = suggested((at) => [
      [
        's/a',
        {
          t: 20 + at,
          color_temp_startup: 370,
          update_frequency: 10,
          uptime_seconds: 5,
          errors: { t2: 2014 },
          txInfo: { frequency: 868_100_000, lora: { bandwidth: 125_000 } },
          Temp: { Type: 11, Body: 21 + at },
          hotspots: [{ name: 'h', rssi: -100, frequency: 904.1, long: 2.2 }],
        },
      ],
      ['homie/x/$stats/freeheap', String(20_000 + at)],
    ]);
    expect(Object.keys(streams).sort()).toEqual(['s/a/Temp.Body', 's/a/t']);
  });

  it('and a list of former ones have different names', () => {
    const { streams, rejects } = suggested((at, nowMs) => [
      ['s/a', { temp: 22 + at, history: [{ ts: nowMs - 10_000, temp: 20 + at }] }],
    ]);
    expect(Object.keys(streams).sort()).toEqual(['s/a/history.temp', 's/a/temp']);
    expect(rejects).toEqual([]);
  });

  it.each([
    ['times as keys', (nowMs: number) => ({ values: { [new Date(nowMs).toISOString()]: 20 } }), 's/a/values'],
    [
      'columns in a list',
      (nowMs: number) => ({
        r: [{ series: [{ name: 'x', columns: ['time', 'v'], values: [[nowMs, 20]] }] }],
      }),
      's/a/r.0.series.x.values.v',
    ],
    [
      'seconds as keys',
      (nowMs: number) => ({ [nowMs / 1000 - 5]: { temp: 20 }, [nowMs / 1000]: { temp: 21 } }),
      's/a/temp',
    ],
    ['a number in brackets as text', () => ({ data: '[215]' }), 's/a/data.0'],
    ['the index of its channel', () => ({ ai: [{ aiIndex: 1, v: 5 }] }), 's/a/ai.1.v'],
    [
      'a batch within an element of a list',
      (nowMs: number) => [{ channelId: 'W.Pv', values: [{ time: nowMs, value: 5 }] }],
      's/a/W.Pv.values.value',
    ],
    ['its name as key', () => [{ 'living room': 20 }], 's/a/0.living room'],
    ['an empty key', () => ({ data: { '': 20 } }), 's/a/data.'],
  ])('are read with %s', (_, payload, name) => {
    const { streams, rejects } = suggested((_at, nowMs) => [['s/a', payload(nowMs)]]);
    expect(Object.keys(streams)).toEqual([name]);
    expect(rejects).toEqual([]);
  });

  it.each(['nan', 'unavailable', '---'])('are suggested although %s is among them', (word) => {
    const { config } = suggested((at) => [['s/a', at === 3 ? word : String(20 + at)]]);
    expect(config.streams).toMatchObject([{ match: 's/a', payload: 'number' }]);
  });

  it('of one time are told apart by their kind', () => {
    const kinds = (key: string, values: readonly string[], nowMs: number) =>
      values.map((kind, n) => ({ [key]: kind, readingTime: nowMs, wNow: 100 + n }));
    const { streams, rejects } = suggested((_, nowMs) => [
      ['envoy', { production: kinds('type', ['inverters', 'eim'], nowMs) }],
    ]);
    expect(Object.keys(streams).sort()).toEqual(['envoy/eim/wNow', 'envoy/inverters/wNow']);
    expect(rejects).toEqual([]);
  });

  it('of a batch are told apart by their kind, also if a message has one alone', () => {
    const { streams, rejects } = suggested((at, nowMs) => [
      ['s/a', [{ ts: nowMs, type: at % 2 === 0 ? 'temp' : 'hum', v: 20 + at }]],
    ]);
    expect(Object.keys(streams).sort()).toEqual(['s/a/hum/v', 's/a/temp/v']);
    expect(rejects).toEqual([]);
  });

  it('take the unit beside an object of values', () => {
    const { streams } = suggested((at) => [
      ['s/a', { PAC: { Unit: 'kW', Values: { 1: 5 - at, 2: 7 - at } } }],
    ]);
    expect(Object.values(streams).map((text) => text.split(' ')[0])).toEqual(['kW', 'kW']);
  });

  it('are no phone number, postcode or encoded data', () => {
    const { streams } = suggested((at) => [
      ['s/a', { place: '01067', contact: '+49123456789', temp: `${20 + at}.1`, padded: `00${100 + at}` }],
    ]);
    expect(Object.keys(streams).sort()).toEqual(['s/a/padded', 's/a/temp']);
  });

  it('are quoted counts of a meter that stands still, unlike a postcode', () => {
    const { streams } = suggested((at) => [
      ['s/a', { place: '01067', temp: `${20 + at}.1`, energy_total: '00123', water_total: '0004567' }],
    ]);
    expect(Object.keys(streams).sort()).toEqual(['s/a/energy_total', 's/a/temp', 's/a/water_total']);
  });

  it('are within the limits of their rule, whatever another topic measures under their name', () => {
    const { streams } = suggested((at) => [
      ['n/a', { v: '1013 mbar', t: `${20 + at} °C` }],
      ['n/b', { v: '0.5', t: `${20 + at} °C` }],
    ]);
    expect(streams['b/v']).toBe('mbar mean ..1200 5m/1d');
  });

  it.each([
    ['current_max', 'A'],
    ['current_mean', 'A'],
    ['current_grid', 'A'],
    ['Dc_P', 'W'],
    ['HomeBat_P', 'W'],
    ['current_month', '-'],
    ['power_factor_a', '-'],
    ['var', '-'],
  ])('have the unit of %s: %s', (field, unit) => {
    const { streams } = suggested((at) => [['s/a', { [field]: 20 - at }]]);
    expect(streams[`s/a/${field}`]?.split(' ')[0]).toBe(unit);
  });
});

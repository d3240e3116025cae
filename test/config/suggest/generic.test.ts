/** Suggestions for what belongs to no family: identity, batches, clocks, marks, cadence. */
import { describe, expect, it } from 'vitest';
import { START_MS, suggested } from './heard.ts';

const EVERY_MS = 10_000;
const stamp = (at: number, shiftMs = 0): string => new Date(START_MS + at * EVERY_MS + shiftMs).toISOString();

describe('a suggestion for unknown devices', () => {
  it('names streams by the members that tell the devices of a topic apart', () => {
    const { config, streams, rejects } = suggested((at) =>
      ['a1', 'b2', 'c3'].map((sensor_id, n) => [
        'gateway/ble',
        { sensor_id, model: 'Thermo', seq: at * 3 + n, temperature: 20 + n, rssi: -70 },
      ]),
    );
    expect(config.streams).toMatchObject([{ match: 'gateway/ble', name: '{/model}-{/sensor_id}/{field}' }]);
    expect(Object.keys(streams)).toEqual([
      'Thermo-a1/temperature',
      'Thermo-b2/temperature',
      'Thermo-c3/temperature',
    ]);
    expect(rejects).toEqual([]);
  });

  it('leaves the name alone where a topic has one device', () => {
    const { config } = suggested((at) => [
      ['sensors/kitchen', { id: 'esp-1', message_id: `m${at}`, temperature: 20 }],
    ]);
    expect(config.streams[0]?.name).toBeUndefined();
  });

  it('measures the cadence of each device, not of the topic, and not of radio repeats', () => {
    const { config } = suggested(
      (at) =>
        ['a', 'b', 'c', 'd'].flatMap((id) => {
          const message = ['radio/in', { id, flux: 1 + at }] as const;
          return [message, message, message];
        }),
      600_000,
    );
    expect(config.streams[0]).toMatchObject({ interval: 600_000, horizon: 86_400_000 });
  });

  it.each([2, 3, 4, 8])(
    'measures the cadence of readings, not of their copies: %i, a second apart',
    (copies) => {
      const { config } = suggested(
        (at) => {
          const report = Math.floor(at / 60);
          const time = new Date(START_MS + at * 1000).toISOString();
          return at % 60 < copies
            ? [
                ['radio/in', { time, flux: 1 + report }],
                ['radio/number', String(1 + report)],
              ]
            : [];
        },
        1000,
        600,
      );
      for (const rule of config.streams) expect(rule).toMatchObject({ interval: 300_000 });
    },
  );

  it('reads lists of devices by what identifies them, batches where they are, and keys with dots', () => {
    const { config, streams, rejects } = suggested((at) => [
      [
        'plant/lists',
        {
          meters: [
            { meter: 'A', power: 100 + at },
            { meter: 'B', power: 200 + at },
          ],
        },
      ],
      [
        'works/batches',
        {
          data: {
            list: [
              { time: stamp(at), temperature: 25 },
              { time: stamp(at, 1000), temperature: 26 },
            ],
          },
        },
      ],
      ['hall/columns', { t: [stamp(at), stamp(at, 1000)], temperature: [25, 26] }],
      ['yard/dots', { 'air.quality': { 'pm2.5': 4 } }],
      ['shed/slash', { '/3303/0/5700': 4 }],
      [
        'vz/tuples',
        {
          data: [
            { uuid: 'a-b', tuples: [[stamp(at), 20]] },
            { uuid: 'c-d', tuples: [[stamp(at), 5]] },
          ],
        },
      ],
    ]);
    const byMatch = Object.fromEntries(config.streams.map((rule) => [rule.match, rule]));
    expect(byMatch['plant/lists']?.fields).toEqual(['meters[meter].power']);
    expect(byMatch['works/batches']).toMatchObject({ records: 'data.list', fields: ['temperature'] });
    expect(byMatch['hall/columns']).toMatchObject({ fields: ['temperature'] });
    expect(Object.keys(streams).sort()).toEqual([
      'hall/columns/temperature',
      'plant/lists/meters.A.power',
      'plant/lists/meters.B.power',
      'shed/slash/_3303_0_5700',
      'vz/tuples/data.a-b.tuples',
      'vz/tuples/data.c-d.tuples',
      'works/batches/temperature',
      'yard/dots/air.quality.pm2.5',
    ]);
    expect(streams['plant/lists/meters.A.power']).toBe('W mean 0.. 1m/4h');
    expect(rejects).toEqual([]);
  });

  it('reads lists that two members identify together', () => {
    const { config, streams, rejects } = suggested((at) => {
      const list = [
        { device: 'a.1', channel: 1, temperature: 20 + at },
        { device: 'a.1', channel: 2, temperature: 21 + at },
        { device: 'b', channel: 1, temperature: 22 + at },
      ];
      return [['plant/pairs', { d: at === 3 ? list.slice(0, 2).reverse() : list }]];
    });
    expect(config.streams[0]?.fields).not.toContain('d.0.temperature');
    expect(Object.keys(streams).sort()).toEqual([
      'plant/pairs/d.a.1-1.temperature',
      'plant/pairs/d.a.1-2.temperature',
      'plant/pairs/d.b-1.temperature',
    ]);
    expect(rejects.filter((text) => !text.includes('missing-field'))).toEqual([]);
  });

  it('reads several objects in one payload', () => {
    const { config, streams, rejects } = suggested((at) => [
      [
        'log/lines',
        `{"time":"${stamp(at)}","temperature":20}\n{"time":"${stamp(at, 1)}","temperature":21}\n`,
      ],
    ]);
    expect(config.streams).toMatchObject([{ match: 'log/lines', fields: ['temperature'], time: 'time' }]);
    expect(Object.keys(streams)).toEqual(['log/lines/temperature']);
    expect(rejects).toEqual([]);
  });

  it('separates the devices of batches', () => {
    const pair = (at: number, one: object, two: object) => [
      { time: stamp(at), ...one, temperature: 20 + at },
      { time: stamp(at), ...two, temperature: 30 + at },
    ];
    const { config, streams, rejects } = suggested((at) => [
      ['a/list', pair(at, { mac: 'aa' }, { mac: 'bb' })],
      ['b/numbered', pair(at, { sensor_id: 1 }, { sensor_id: 2 })],
      ['c/nested', { data: pair(at, { dev: 'x', channel: 1 }, { dev: 'x', channel: 2 }) }],
      ['d/in-turn', [{ time: stamp(at), name: at % 2 === 0 ? 'attic' : 'cellar', temperature: 20 }]],
      ['e/single', [{ time: stamp(at), mac: 'ee', temperature: 20 }]],
      [
        'f/tags',
        {
          metrics: pair(at, { name: 'm', tags: { r: 'p', s: 'q' } }, { name: 'm', tags: { r: 'p', s: 'z' } }),
        },
      ],
      ['g/digits', { vals: pair(at, { id: '101' }, { id: '102' }) }],
    ]);
    const byMatch = Object.fromEntries(config.streams.map((rule) => [rule.match, rule]));
    expect(byMatch['a/list']).toMatchObject({ name: '{/mac}/{field}', fields: ['temperature'] });
    expect(byMatch['b/numbered']).toMatchObject({
      name: '{topic}/{/sensor_id}/{field}',
      fields: ['temperature'],
    });
    expect(byMatch['c/nested']).toMatchObject({ name: '{topic}/{/channel}/{field}', records: 'data' });
    expect(Object.keys(streams).sort()).toEqual([
      '101/temperature',
      '102/temperature',
      'aa/temperature',
      'attic/temperature',
      'b/numbered/1/temperature',
      'b/numbered/2/temperature',
      'bb/temperature',
      'c/nested/1/temperature',
      'c/nested/2/temperature',
      'cellar/temperature',
      'e/single/temperature',
      'm-p-q/temperature',
      'm-p-z/temperature',
    ]);
    expect(rejects).toEqual([]);
  });

  it('finds the time of a reading, the zone of local time, and a clock that is wrong', () => {
    const { config, text } = suggested((at) => [
      ['a/utc', { ts: (START_MS + at * EVERY_MS) / 1000, level: 1 }],
      ['b/local', { Time: stamp(at, 5.5 * 3_600_000).slice(0, 19), level: 1 }],
      ['c/wrong', { time: stamp(at, 25 * 86_400_000), level: 1 }],
      ['d/unset', { time: `1970-01-01T00:00:${String(at * 10).padStart(2, '0')}Z`, level: 1 }],
    ]);
    const byMatch = Object.fromEntries(config.streams.map((rule) => [rule.match, rule]));
    expect(byMatch['a/utc']).toMatchObject({ time: 'ts', time_zone: 'UTC' });
    expect(byMatch['b/local']).toMatchObject({ time: 'Time', time_zone: '+05:30' });
    expect(byMatch['c/wrong']?.time).toBeUndefined();
    expect(text).toContain('the clock of the sender looks 25 d ahead, so time is not used');
    expect(byMatch['d/unset']?.time).toBeUndefined();
  });

  it.each([
    ['in an object', (at: string) => ({ meta: { ts: at } }), '    time: meta.ts'],
    ['under another key', (at: string) => ({ taken: at }), '    time: taken'],
    ['beside its date', (at: string) => ({ date: at.slice(0, 10), ts: at }), '    time: ts'],
    ['of a start', (at: string) => ({ boot: at }), null],
    ['in each of two objects', (at: string) => ({ a: { ts: at }, b: { ts: at } }), null],
    ['without a date', (at: string) => ({ time: at.slice(11, 19) }), 'which is not read as a time'],
  ])('a time %s is used, or is said not to be', (_, member, expected) => {
    const { text } = suggested((at, nowMs) => [
      ['s/a', { ...member(new Date(nowMs).toISOString()), temp: 20 + at }],
    ]);
    if (expected === null) expect(text).not.toMatch(/time/);
    else expect(text).toContain(expected);
  });

  it('elements that only their position tells apart are named', () => {
    const { text } = suggested((at) => [['s/a', { mppt: [{ v: 20 - at }, { v: 30 - at }] }]]);
    expect(text).toContain('they have no name and no time: elements of mppt');
  });

  it('names marks of a missing value and keeps them out, but not values that only look like marks', () => {
    const { config, text } = suggested((at) => [
      [
        'x/probe',
        { temperature: at === 2 ? -127 : 10 + at, level: at === 1 ? -999 : 20, grid_power: -200 + at * 60 },
      ],
    ]);
    expect(text).toContain('temperature was -127 (1 of 5), which looks like a mark');
    expect(text).toContain('level was -999 (1 of 5)');
    expect(text).not.toContain('grid_power was');
    expect(config.streams[0]?.fields).toEqual([
      { field: 'temperature', unit: '°C', limits: { min: -60, max: 150 } },
      { field: 'level', limits: { min: -998 } },
      { field: 'grid_power', unit: 'W' },
    ]);
  });

  it('takes numbers in quotes only where a field that is read has them', () => {
    const { config } = suggested(() => [
      ['q/quoted', { temperature: '21.5', humidity: 40 }],
      ['r/plain', { temperature: 21.5, device_code: '12' }],
      ['s/comma', { temperature: '21,5' }],
    ]);
    const byMatch = Object.fromEntries(config.streams.map((rule) => [rule.match, rule]));
    expect(byMatch['q/quoted']).toMatchObject({ numeric_strings: true });
    expect(byMatch['r/plain']).toMatchObject({ numeric_strings: false });
    expect(byMatch['s/comma']).toMatchObject({ numeric_strings: true, decimal_comma: true });
  });

  it('sees what counts up, what runs backwards, and what points', () => {
    const { streams } = suggested((at) => [
      ['m/water_total', String(100 + at)],
      ['n/energy', String(1000 + [0, 1, 0.5, 0.2, 1][at]!)],
      ['o/wind_direction', String((350 + at * 10) % 360)],
      ['p/heading', '800'],
    ]);
    expect(streams['m/water_total']).toBe('m³ delta 5m/1d');
    expect(streams['n/energy']).toBe('kWh change 5m/1d');
    expect(streams['o/wind_direction']).toBe('° circular-mean 5m/1d');
    expect(streams['p/heading']).toMatch(/^- mean/);
  });

  it('takes no address, data point type or quality code for a reading', () => {
    const { config, streams } = suggested((at) => [
      ['knx/living', { dpt: 9.001, value: 21 + at }],
      ['wise/data', { s: at, t: stamp(at), q: 192, c: 1, ai1: 4 + at }],
      ['siemens/tag', { val: 20 + at, qc: 3 }],
      ['opc/tag', { v: 20 + at, quality: at === 3 ? 0 : 192 }],
      ['modbus/in', { slave: 3, register: 40001, function_code: 3, power: 100 + at }],
      // the same keys as readings
      ['flow/q', { q: 190 + at, air_quality: 50 + at }],
    ]);
    expect(Object.keys(streams).sort()).toEqual([
      'flow/q/air_quality',
      'flow/q/q',
      'knx/living/value',
      'modbus/in/power',
      'opc/tag/v',
      'siemens/tag/val',
      'wise/data/ai1',
    ]);
    expect(config.streams).toHaveLength(6);
  });

  it('reads topics with one number each by what they measure, with the device and the quantity in the name', () => {
    const { config, streams, rejects } = suggested((at, nowMs) => [
      ['solar/dtu/status', 'online'],
      ['solar/1141/status/last_update', String(Math.floor(nowMs / 1000))],
      ['solar/1141/device/bootloaderversion', '104'],
      ...['0', '1', '2'].flatMap((input): [string, string][] => [
        [`solar/1141/${input}/power`, String(200 + at * 3)],
        [`solar/1141/${input}/yieldtotal`, String(1234.5 + at)],
        [`solar/1141/${input}/irradiation`, '31.5'],
        [`solar/1141/${input}/current`, '0.9'],
      ]),
      ['solar/1141/0/powerdc', '210'],
      ['solar/1141/0/efficiency', '95.1'],
    ]);
    expect(rejects).toEqual([]);
    expect(streams['1141/0/power']).toBe('W mean 0.. 1m/4h');
    expect(streams['1141/2/yieldtotal']).toBe('- delta 5m/1d');
    expect(streams['1141/2/current']).toBe('A mean 0.. 5m/1d');
    expect(streams['1141/1/irradiation']).toBe('- mean 5m/1d');
    expect(streams['solar/1141/0/powerdc']).toBe('W mean 0.. 5m/1d');
    // A rule for several quantities would take them before the narrower ones.
    expect(config.streams.at(-1)?.match).toBe('solar/1141/{group}/{device}');
    expect(Object.keys(streams)).toHaveLength(14);
  });

  it('takes neither a part of a word for a quantity, nor what is left in a battery for a counter', () => {
    const { streams } = suggested((at) => [
      ['web/concurrent_users', String(100 + at)],
      ['car/horsepower', String(80 - at)],
      ['plant/yield_rate', String(95 - at)],
      ['ev/energy_left', String(20 + at)],
    ]);
    expect(streams).toEqual({
      'web/concurrent_users': '- mean 1m/4h',
      'car/horsepower': '- mean 1m/4h',
      'plant/yield_rate': '- mean 5m/1d',
      'ev/energy_left': 'kWh mean 0.. 5m/1d',
    });
  });

  it('keeps topics without a number out of rules that match them, but not sensors without a reading for now', () => {
    const { config, rejects } = suggested((at) => [
      ['mbus/meter1/Import', String(1000 + at)],
      ['mbus/meter1/Boiler', '5'],
      ['mbus/meter1/phase', 'online'],
      ['mbus/meter1/attic', 'unavailable'],
      ['mbus/meter1/flag', 'on'],
    ]);
    expect(config.ignore).toEqual(['mbus/meter1/flag', 'mbus/meter1/phase']);
    expect([...new Set(rejects)]).toEqual(['mbus/meter1/attic: bad-number unavailable']);
  });

  it('takes the quantity of a single value from the topic, and the unit from beside it', () => {
    const { streams } = suggested((at) => [
      ['zw/Kitchen/Air_temperature', { time: stamp(at), value: 21 + at }],
      ['sa/inverter/pv_power/state', String(100 + at)],
      ['fr/meter', { TOTAL_ENERGY: { Unit: 'Wh', Value: 1000 + at }, PAC: { Unit: 'W', Value: 5 } }],
      ['hp/heat', { outdoortemp: 5.5, servicecode: '0H', nrgtotal: 10 + at, packetId: at }],
      ['ru/tag', { pressure: 100_044, gwts: (START_MS + at * EVERY_MS) / 1000 }],
      ['vac/CurrentStatistics/area', String(10_000 + at)],
      ['edge0', { '_sum/GridBuyActiveEnergy': 500 + at, 'meter0/ActiveProductionEnergy': 9000 + at }],
      ['sma/GridPower', String(2000 + at)],
    ]);
    expect(streams).toEqual({
      'zw/Kitchen/Air_temperature/value': '°C mean -60..150 5m/1d',
      'sa/inverter/pv_power/state': 'W mean 0.. 1m/4h',
      'fr/meter/TOTAL_ENERGY.Value': 'Wh delta 5m/1d',
      'fr/meter/PAC.Value': 'W mean 0.. 5m/1d',
      'hp/heat/outdoortemp': '°C mean -60..150 5m/1d',
      'hp/heat/nrgtotal': '- delta 5m/1d',
      'ru/tag/pressure': 'Pa mean 30000..120000 5m/1d',
      'vac/CurrentStatistics/area': '- mean 1m/4h',
      'edge0/_sum/GridBuyActiveEnergy': 'Wh delta 5m/1d',
      'edge0/meter0/ActiveProductionEnergy': 'Wh delta 5m/1d',
      'sma/GridPower': 'W mean 1m/4h',
    });
  });

  it('reads texts with several readings', () => {
    const { config, streams, rejects } = suggested((at) => [
      ['shed/pairs', `temp=${21.5 + at},hum=40`],
      ['hall/comma', `temp:${21 + at},5 hum:40,2`],
      ['csv/row', `${21.5 + at};40`],
    ]);
    expect(rejects).toEqual([]);
    expect(streams).toEqual({
      'shed/pairs/temp': '°C mean -60..150 5m/1d',
      'shed/pairs/hum': '% mean 0..100 5m/1d',
      'hall/comma/temp': '°C mean -60..150 5m/1d',
      'hall/comma/hum': '% mean 0..100 5m/1d',
      'csv/row/0': '- mean 1m/4h',
      'csv/row/1': '- mean 1m/4h',
    });
    expect(config.streams.map(({ payload, decimal_comma }) => [payload, decimal_comma])).toEqual([
      ['text', false],
      ['text', true],
      ['text', false],
    ]);
  });

  it('separates the series and devices that members of inner objects name, and no others', () => {
    const metric = (at: number, name: string, tags: object) => ({
      fields: { usage: 40 + at },
      name,
      tags,
      timestamp: (START_MS + at * EVERY_MS) / 1000,
    });
    const { streams, rejects } = suggested((at) => [
      ['telegraf/h1/mem', metric(at, 'mem', { host: 'h1' })],
      ['telegraf/h1/cpu', metric(at, 'cpu', { host: 'h1', cpu: 'cpu0' })],
      ['telegraf/h1/cpu', metric(at, 'cpu', { host: 'h1', cpu: 'cpu1' })],
      [
        'batch/all',
        {
          metrics: [
            metric(at, 'disk', { host: 'h1', path: '/' }),
            metric(at, 'disk', { host: 'h2', path: '/' }),
          ],
        },
      ],
      ...['a1', 'b2'].map(
        (devEui) =>
          [
            'lora/up',
            {
              deviceInfo: { devEui, tenantName: 't' },
              object: { temperature: 20 + at },
              rxInfo: [{ gatewayId: `g${at}` }],
            },
          ] as const,
      ),
      ['one/x', { payload: { temperature: 20 } }],
      ['one/y', { payload: 5 + at }],
      ['one/z', { payload: 6 + at, topic: 'x' }],
    ]);
    expect(rejects).toEqual([]);
    expect(Object.keys(streams).sort()).toEqual([
      'a1/object.temperature',
      'b2/object.temperature',
      'cpu-cpu0-h1/fields.usage',
      'cpu-cpu1-h1/fields.usage',
      'disk-h1/fields.usage',
      'disk-h2/fields.usage',
      'one/x/payload.temperature',
      'telegraf/h1/mem/fields.usage',
      'y/payload',
      'z/payload',
    ]);
  });

  it('separates the slaves of a bus on one topic', () => {
    const { streams } = suggested((at) =>
      [1, 2, 3].map((slave) => ['modbus/in', { slave, power: at + slave }]),
    );
    expect(Object.keys(streams).sort()).toEqual(['1/power', '2/power', '3/power']);
  });

  it('chooses a step that is not shorter than the cadence', () => {
    const step = (everyMs: number, topic = 'a/pump_speed'): string | undefined =>
      Object.values(suggested((at) => [[topic, String(at)]], everyMs).streams)[0]
        ?.split(' ')
        .at(-1);
    expect(step(100)).toBe('1s/4m');
    expect(step(1000)).toBe('10s/48m');
    expect(step(10_000)).toBe('1m/4h');
    expect(step(60_000)).toBe('5m/1d');
    expect(step(430_000)).toBe('10m/1d');
    expect(step(3_600_000)).toBe('1h/1d');
    expect(step(86_400_000)).toBe('1d/24d');
    expect(step(1000, 'a/temperature')).toBe('5m/1d');
  });

  it('reads radio devices topic by topic where there are no events', () => {
    const { config, streams } = suggested(() => [
      ['rtl_433/pi/devices/Acurite-Tower/A/1234/temperature_C', '21.5'],
      ['rtl_433/pi/devices/Acurite-Tower/A/1234/battery_ok', '1'],
      ['rtl_433/pi/devices/Acurite-Tower/B/77/temperature_C', '3.5'],
      ['rtl_433/pi/devices/Prologue-TH/9/humidity', '63'],
    ]);
    expect(config.streams.map(({ match }) => match).sort()).toEqual([
      'rtl_433/{host}/devices/{model}/{channel}/{id}/temperature_C',
      'rtl_433/{host}/devices/{model}/{id}/humidity',
    ]);
    expect(Object.keys(streams).sort()).toEqual([
      'Acurite-Tower-A-1234/temperature_C',
      'Acurite-Tower-B-77/temperature_C',
      'Prologue-TH-9/humidity',
    ]);
  });

  it('takes no forecast of another agent for a sensor', () => {
    const { config } = suggested((at) => [
      [
        'site/n/forecast/x/temperature',
        { stream: 'x', issued: 'a', origin: 'b', step_s: 300, seq: at, p50: [1] },
      ],
      ['site/n/health', { state: 'ok', degraded: [], streams: 3, dropped: {}, rss_mb: 90 }],
      ['site/n/forecast/x/temperature/at/1h', '20'],
      ['site/sensor/temperature', '20'],
    ]);
    expect(config.streams.map(({ match }) => match)).toEqual(['site/sensor/temperature']);
  });

  it('never reads the whole broker', () => {
    const { config } = suggested(() =>
      ['a/b/c', 'd/e/f', 'g/h/i', 'j/k/l', 'm/n/o'].map((topic) => [topic, '5'] as const),
    );
    expect(config.streams.map(({ match }) => match)).toEqual(['a/b/c', 'd/e/f', 'g/h/i', 'j/k/l', 'm/n/o']);
  });

  it('reads units in the spelling of names, and takes none of another quantity', () => {
    const { streams } = suggested((at) => [
      [
        'u/x',
        {
          energy_kWh: 10 + at,
          power_kW: 3,
          current_mA: 12,
          pressure_kPa: 101,
          windSpeed_kph: 3,
          rainRate_mm_per_hour: 1,
          volume_flow_m3h: 0.1,
          leistung_w: 5,
          current_hca: 131,
          current_month: 7,
          price_per_kWh: 0.3,
        },
      ],
    ]);
    expect(
      Object.fromEntries(Object.entries(streams).map(([name, text]) => [name.slice(4), text.split(' ')[0]])),
    ).toEqual({
      energy_kWh: 'kWh',
      power_kW: 'kW',
      current_mA: 'mA',
      pressure_kPa: 'kPa',
      windSpeed_kph: 'km/h',
      rainRate_mm_per_hour: 'mm/h',
      volume_flow_m3h: 'm³/h',
      leistung_w: 'W',
      current_hca: '-',
      current_month: '-',
      price_per_kWh: '-',
    });
  });

  it('takes what is sent of a battery for what it is, and a cell for volts', () => {
    const { streams } = suggested((at) => [
      ['b/battery_1/cycles', '33'],
      ['b/battery_1/energy_in', String(5 + at)],
      ['b/battery_1/battery', '88'],
      ['b/node', { battery: 3.61, battery_capacity: 10, battery_level: 40 }],
    ]);
    expect(streams).toMatchObject({
      'b/battery_1/energy_in': 'kWh delta 5m/1d',
      'b/battery_1/battery': '% mean 0..100 5m/1d',
      'b/node/battery': 'V mean 1.5..4.5 5m/1d',
      'b/node/battery_capacity': '- mean 5m/1d',
      'b/node/battery_level': '% mean 0..100 5m/1d',
    });
    expect(Object.entries(streams).find(([name]) => name.includes('cycles'))?.[1]).toBe('- mean 5m/1d');
    const values = { voltage_battery: 52, power_battery: 60, current_battery: 2, current_soc: 50 };
    expect(Object.values(suggested(() => [['inverter', values]]).streams)).toEqual([
      'V mean 0..1500 5m/1d',
      'W mean 5m/1d',
      '- mean 5m/1d',
      '% mean 0..100 5m/1d',
    ]);
  });

  it('takes no device with a few names of an AMS reader for one, and so keeps its other fields', () => {
    const { streams } = suggested((at) => [
      ['plant/motor', { P: 300 + at, I1: 1, I2: 2, I3: 3, U1: 230, speed: 5 + at }],
    ]);
    expect(Object.keys(streams)).toContain('plant/motor/speed');
  });

  it('takes an energy or a volume that rises for a counter, but not what is stored', () => {
    const { streams, text } = suggested((at) => [
      ['e/x', { value: 10 + at, unit: 'kWh' }],
      ['f/x', { volume_m3: 10 + at, tank_m3: 10 + at, target_m3: 5, frames: 10 + at, level: 5 }],
    ]);
    expect(streams).toEqual({
      'e/x/value': 'kWh delta 5m/1d',
      'f/x/volume_m3': 'm³ delta 5m/1d',
      'f/x/tank_m3': 'm³ mean 5m/1d',
      'f/x/frames': '- mean 5m/1d',
      'f/x/level': '- mean 5m/1d',
    });
    expect(text).toContain('# only rose: frames; for a counter, add `aggregate: delta`');
  });

  it('leaves out what counts the time since a start, under any name, and settings', () => {
    const { streams, config } = suggested((at) => [
      ['r/x', { rbt: 5000 + at * EVERY_MS, alive: 77 + (at * EVERY_MS) / 1000, slow: 77 + at, flux: 3 }],
      [
        's/x',
        {
          target_temperature: 21,
          max_current: 16,
          limitSoc: 80,
          operating_time_h: 5,
          voltage_sag_l1: 2,
          flux: 3,
        },
      ],
      ['t/shadow', { state: { reported: { temperature: 20 }, desired: { temperature: 22 } } }],
    ]);
    expect(Object.keys(streams)).toEqual([
      'r/x/slow',
      'r/x/flux',
      's/x/flux',
      't/shadow/state.reported.temperature',
    ]);
    expect(config.streams).toHaveLength(3);
  });

  it('reads a list whose elements are quantities element by element, and a list that is the payload', () => {
    const { streams, rejects } = suggested((at) => [
      [
        'l/named',
        {
          sensordatavalues: [
            { value_type: 'BME280_temperature', value: '21.5' },
            { value_type: 'BME280_pressure', value: '100123.4' },
            { value_type: 'SDS_P1', value: String(9 - at) },
          ],
        },
      ],
      [
        'm/devices',
        [
          { name: 'A', power: 3 },
          { name: 'B', power: 4 },
        ],
      ],
    ]);
    expect(streams).toEqual({
      'l/named/sensordatavalues.BME280_temperature.value': '°C mean -60..150 5m/1d',
      'l/named/sensordatavalues.BME280_pressure.value': 'Pa mean 30000..120000 5m/1d',
      'l/named/sensordatavalues.SDS_P1.value': '- mean 5m/1d',
      'm/devices/A.power': 'W mean 0.. 5m/1d',
      'm/devices/B.power': 'W mean 0.. 5m/1d',
    });
    expect(rejects).toEqual([]);
  });

  it('gives the unit beside a value to that value alone', () => {
    const { streams } = suggested((at) => [['scale/x', { unit: 'kg', value: 78 - at, impedance: 500 }]]);
    expect(streams).toEqual({ 'scale/x/value': 'kg mean 5m/1d', 'scale/x/impedance': '- mean 5m/1d' });
  });

  it('drops degrees Fahrenheit only of devices that send degrees Celsius too', () => {
    const { streams } = suggested(() => [
      ['air/in', { model: 'X', id: 1, temperature_C: 20, temperature_F: 68 }],
      ['air/in', { model: 'Y', id: 2, temperature_F: 44 }],
    ]);
    expect(Object.keys(streams)).toContain('Y-2/temperature_F');
  });

  it('takes a number that each message raises for no device', () => {
    const { config } = suggested((at) => [['n/x', { id: 500 + at, temperature: 20 }]]);
    expect(config.streams[0]?.name).toBeUndefined();
  });

  it('does not put topics under one rule that share hardly a level', () => {
    const { config } = suggested(() => [
      ['big/a/b/c/d', '5'],
      ['big/e/f/g/h', '5'],
    ]);
    expect(config.streams.map(({ match }) => match).sort()).toEqual(['big/a/b/c/d', 'big/e/f/g/h']);
  });

  it('says of topics that only retained messages came', () => {
    expect(suggested(() => [['old/temperature', '20', true]]).text).toContain('# only retained messages');
  });
});

/** Texts with several readings, and what they stand for. */
import { describe, expect, it } from 'vitest';
import { createRouter, parseConfig } from '../../src/config/index.ts';
import { autoDecoder } from '../../src/ingest/decoders/auto.ts';
import { numberDecoder } from '../../src/ingest/decoders/number.ts';
import { sniff } from '../../src/ingest/sniff.ts';
import { Survey } from '../../src/ingest/survey.ts';
import { textReadings, unmistakableReadings } from '../../src/ingest/text-readings.ts';
import { computed } from '../support/run-delay.ts';
import { decode, reasons, values } from './decode.ts';
import { settings } from './rules.ts';

const NOW = Date.UTC(2026, 10, 29, 12);
const TELEGRAM = [
  '/ISK5\\2M550T-1012',
  '',
  '1-3:0.2.8(50)',
  '0-0:1.0.0(261129124500W)',
  '0-0:96.1.1(4530303434303037)',
  '1-0:1.8.1(001234.567*kWh)',
  '1-0:1.7.0(00.321*kW)',
  '0-1:24.2.1(261129124000W)(01234.890*m3)',
  '!ABCD',
  '',
].join('\r\n');

function routed(rule: string, payload: string) {
  const router = createRouter(parseConfig(`node: n\nmqtt: { url: mqtt://b }\nstreams: [${rule}]\n`));
  const { samples, rejects } = router.message('w', Buffer.from(payload), NOW);
  return {
    samples: samples.map(({ stream, value, timeMs }) => [stream, value, timeMs ?? null]),
    rejects: rejects.map(({ reason, detail }) => `${reason} ${detail}`),
  };
}

describe('a text with several readings', () => {
  it.each<[text: string, found: Record<string, number>, comma?: boolean]>([
    ['temp=21.5,hum=40', { temp: 21.5, hum: 40 }],
    ['temp:21.5 hum:40', { temp: 21.5, hum: 40 }],
    ['temp: 21.5, hum: 40 %\n', { temp: 21.5, hum: 40 }],
    ['temp=21.5 °C; hum=40 %; state=ok', { temp: 21.5, hum: 40 }],
    ['id=00158d0001a2b3c4|T=-3|H=', { T: -3 }],
    ['temp=21,5,hum=40,2', { temp: 21.5, hum: 40.2 }, true],
    ['temp=21,5 hum=40', { temp: 21.5, hum: 40 }, true],
    ['tempf=70.2&stationtype=GW%201&dateutc=2026-11-29+10:00:00&humidity=40', { tempf: 70.2, humidity: 40 }],
    [`PASSKEY=0A1B&stationtype=GW1000&${'x=&'.repeat(100)}humidity=40`, { humidity: 40 }],
    ['MSG:3,Vrms:240.1,P1:100,P2:-40', { MSG: 3, Vrms: 240.1, P1: 100, P2: -40 }],
    ['temperature=21.5\nhumidity=40\n', { temperature: 21.5, humidity: 40 }],
    ['door=open, t=1', { door: 1, t: 1 }],
    ['21.5;40.2', { 0: 21.5, 1: 40.2 }],
    ['21,5 | 40,2 | 1013', { 0: 21.5, 1: 40.2, 2: 1013 }, true],
    ['21.5,40.2', { 0: 21.5, 1: 40.2 }],
    ['kitchen;21;40', { 1: 21, 2: 40 }],
    ['temp;hum\n21.5;40', { temp: 21.5, hum: 40 }],
    [TELEGRAM, { '1-0:1.8.1': 1234.567, '1-0:1.7.0': 0.321, '0-1:24.2.1': 1234.89 }],
  ])('is read as its readings: %j', (text, wanted, decimalComma = false) => {
    const found = decode(autoDecoder({ ...settings(null), decimalComma }), text);
    expect(values(found)).toEqual(wanted);
    expect(found.rejects).toEqual([]);
  });

  it.each([
    '21,5',
    '1,234.5 kg',
    '1,234,567',
    '1,234.5',
    '-1.234,5',
    'YWJj=',
    'sunny',
    '12:30',
    '21.5;',
    'Error: pump 5 failed',
    'status: ok',
    'a, b',
  ])('is not %j', (text) => {
    expect(unmistakableReadings(text)).toBe(null);
  });

  it.each(['1,234.5', '-1.234,5', '1,234,567'])('is not %j, which gives no reading', (text) => {
    expect(decode(autoDecoder(settings(null)), text).readings).toEqual([]);
  });

  it('refuses more readings than it takes as a whole, so that none is lost without a reject', () => {
    const pairs = (count: number) => Array.from({ length: count }, (_, at) => `k${at}=${at}.5`).join(' ');
    expect(Object.keys(textReadings(pairs(256)) ?? {})).toHaveLength(256);
    expect(textReadings(pairs(257))).toBeNull();
    expect(reasons(decode(autoDecoder(settings(null)), pairs(257)))).toEqual(['bad-number']);
  });

  it('has no commas between cells if the rule says that commas are decimal', () => {
    const comma = '{ match: w, decimal_comma: true }';
    expect(routed(comma, '21,5,40,2').samples).toEqual([]);
    expect(routed(comma, '21,5;40,2').samples).toHaveLength(2);
    expect(sniff('w', Buffer.from('1,2,3'))).toMatchObject({ kind: 'text', decimalComma: false });
  });

  it('is what a rule says: rows that could be numbers with thousands separators are then rows', () => {
    expect(textReadings('1,234.5')).toEqual([1, 234.5]);
    expect(routed('{ match: w, payload: text }', '7,101.2').samples).toEqual([
      ['w/0', 7, null],
      ['w/1', 101.2, null],
    ]);
  });

  it('uses the times of rows, of a column with a header, and of a named member', () => {
    const csv = '2026-11-29T11:00:00Z,21.5,40\n2026-11-29T11:01:00Z,21.6,41\n';
    expect(routed('{ match: w }', csv).samples).toEqual([
      ['w/1', 21.5, Date.UTC(2026, 10, 29, 11)],
      ['w/2', 40, Date.UTC(2026, 10, 29, 11)],
      ['w/1', 21.6, Date.UTC(2026, 10, 29, 11, 1)],
      ['w/2', 41, Date.UTC(2026, 10, 29, 11, 1)],
    ]);
    expect(routed('{ match: w, fields: [{ field: "1", name: t }] }', csv).samples).toHaveLength(2);
    expect(
      routed('{ match: w }', 'time;t\n2026-11-29 11:00:00;21.5\n2026-11-29 11:01:00;22').samples,
    ).toEqual([
      ['w/t', 21.5, Date.UTC(2026, 10, 29, 11)],
      ['w/t', 22, Date.UTC(2026, 10, 29, 11, 1)],
    ]);
    expect(routed('{ match: w, time: timestamp, fields: ["1-0:1.7.0"] }', TELEGRAM).samples).toEqual([
      ['w/1-0:1.7.0', 0.321, Date.UTC(2026, 10, 29, 11, 45)],
    ]);
    expect(
      routed('{ match: w, payload: text, time: ts, name: "{/id}/{field}" }', 'id=a7 ts=1795950000 t=5')
        .samples,
    ).toEqual([['a7/t', 5, 1_795_950_000_000]]);
  });

  it('refuses rows that may be of several devices or times, and forms that it does not read, by name', () => {
    const text = '{ match: w, payload: text }';
    expect(routed(text, '21.5;40\n22;41').rejects[0]).toMatch(/^bad-payload no key=value pairs or row/);
    expect(routed(text, '$WIMDA,29.9,I,1.01,B,20.5,C*2A').rejects[0]).toMatch(/^bad-payload NMEA/);
    expect(routed('{ match: w }', '<data><t>5</t></data>').rejects[0]).toMatch(/^bad-number .*XML/);
    const { readings, rejects } = decode(numberDecoder(settings(null)), 'temp=21.5,hum=40');
    expect(readings).toEqual([]);
    expect(rejects[0]?.detail).toContain('"payload: text" reads them');
    // the hint names the sign with which the text can be read
    const hint = (text: string, decimalComma: boolean): string | undefined =>
      decode(numberDecoder(settings(null, { decimalComma })), text).rejects[0]?.detail;
    expect(hint('temp=21,5 hum=40,2', true)).toMatch(/; "payload: text" reads them$/);
    expect(hint('21,5;40,2', false)).toMatch(/"payload: text" with "decimal_comma: true" reads them$/);
    expect(hint('1,2,3', true)).toMatch(/"payload: text" without "decimal_comma" reads them$/);
    expect(reasons(decode(numberDecoder(settings(null)), `a=${'x'.repeat(300)}`))).toEqual(['bad-number']);
    const survey = new Survey();
    survey.hear('nmea/all', Buffer.from('$WIMDA,29.9,I'), 0, false);
    expect(survey.unread.get('nmea/all')).toContain('NMEA');
  });

  it('takes no time worth mentioning for a long text of any form', () => {
    const units = [
      'a',
      'a=',
      'a:',
      ' ',
      ',',
      'a ',
      '1,',
      'a=1',
      '}',
      '\n',
      '(',
      '1-0:1.8.1(',
      '/\n1-0:1.8.1(',
    ];
    const { ms } = computed(() => {
      for (const begin of ['', 'a=', 'a:1 b'])
        for (const unit of units)
          textReadings(`${begin}${unit.repeat((16_384 - begin.length - 1) / unit.length)}x`);
    });
    expect(ms).toBeLessThan(2000);
  });
});

import { afterEach, expect, it, vi } from 'vitest';
import { Cron } from '../../src/agent/cron.ts';
import { configSchema } from '../../src/config/schema.ts';
import { zoneOffset } from '../../src/series/calendar.ts';

const MINUTE = 60_000;
const at = (text: string): number => Date.parse(text);

afterEach(() => void vi.restoreAllMocks());

it('is due once in its minute, in its zone, whenever it is asked within it', () => {
  const cron = new Cron('17 3 * * *', 'Europe/Berlin');
  const due: string[] = [];
  for (let time = at('2025-01-30T00:00:20Z'); time < at('2025-01-31T00:00Z'); time += 0.25 * MINUTE) {
    if (cron.due(time)) due.push(new Date(time).toISOString());
  }
  expect(due).toEqual(['2025-01-30T02:17:05.000Z']);
});

it('catches up on minutes between two looks, but not on a clock that was set', () => {
  const cron = new Cron('17 3 * * *', 'UTC');
  expect(cron.due(at('2025-01-30T03:10Z'))).toBe(false);
  expect(cron.due(at('2025-01-30T03:40Z'))).toBe(true);
  expect(cron.due(at('2025-01-30T03:41Z'))).toBe(false);
  expect(cron.due(at('2025-02-02T03:41Z'))).toBe(false);
});

it('is never due when it is off', () => {
  const cron = new Cron('off', 'UTC');
  for (let i = 0; i < 3000; i++) expect(cron.due(i * MINUTE)).toBe(false);
});

it.each(['local', 'UTC'])(
  'schedule, calendar and config leave Intl alone where the zone is %s',
  (timezone) => {
    const asked = vi.spyOn(Intl, 'DateTimeFormat');
    const config = configSchema.parse({
      node: 'n',
      timezone,
      mqtt: { url: 'mqtt://b' },
      streams: [{ match: 'a/{b}', payload: 'number' }],
    });
    const cron = new Cron(config.finetune.schedule, config.timezone);
    for (let i = 0; i < 2 * 1440; i++) cron.due(i * MINUTE);
    zoneOffset(config.timezone)(0);
    expect(asked).not.toHaveBeenCalled();
  },
);

/** Configs of the daemon for tests. */

/**
 * JSON readings with their own times on `sensors/<place>`, one stream a place.
 *
 * @param rule changes to the one rule of streams
 * @param change to the rest
 */
export const sensorsConfig = (
  { node, url, dataDir }: { readonly node: string; readonly url: string; readonly dataDir: string },
  rule: Readonly<Record<string, unknown>>,
  change: Readonly<Record<string, unknown>> = {},
) => ({
  node,
  mqtt: { url, qos: 1 },
  data_dir: dataDir,
  timezone: 'UTC',
  lateness: '0s',
  streams: [
    {
      match: 'sensors/{place}',
      payload: 'json',
      fields: ['value'],
      time: 'time',
      interval: '1m',
      name: '{place}',
      ...rule,
    },
  ],
  http: { listen: 'off' },
  ...change,
});

/** How a rule reads `{"v": 20.5, "t": 1767225600000}`, once a second. */
export const SECONDS = { payload: 'json', fields: ['v'], time: 't', interval: '1s', horizon: '10s' } as const;

/**
 * An agent that only forecasts: no page, no fine-tuning, no Home Assistant.
 *
 * @param change further keys, such as `remote_config`
 */
export const plainConfig = (
  { node, url, dataDir }: { readonly node: string; readonly url: string; readonly dataDir: string },
  streams: readonly Readonly<Record<string, unknown>>[],
  change: Readonly<Record<string, unknown>> = {},
) => ({
  node,
  mqtt: { url },
  data_dir: dataDir,
  http: { listen: 'off' },
  finetune: { enabled: false },
  publish: { home_assistant: false },
  streams,
  ...change,
});

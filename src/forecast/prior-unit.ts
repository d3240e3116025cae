/**
 * Groups units with similar changes over time, and converts each unit to the unit of its group. Where a stream has no
 * unit, its name often tells the quantity: `kitchen/temperature`, `battery_mV`.
 */

/** In the order of the rows in `young-table.ts`. */
export const PRIOR_GROUPS = ['°C', '%', 'W', 'hPa', 'µg/m³', 'lx', 'm/s', 'V'] as const;
export type PriorGroup = (typeof PRIOR_GROUPS)[number];

interface PriorUnit {
  readonly group: PriorGroup;
  /** Conversion to the group's unit: factor, and the value at this unit's zero. */
  readonly scale: number;
  readonly zero: number;
}

const unit = (group: PriorGroup, scale = 1, zero = 0): PriorUnit => ({ group, scale, zero });

const UNITS: ReadonlyMap<string, PriorUnit> = new Map([
  ['°C', unit('°C')],
  ['C', unit('°C')],
  ['°F', unit('°C', 1 / 1.8, 32)],
  ['K', unit('°C', 1, 273.15)],
  ['%', unit('%')],
  ['%RH', unit('%')],
  ['W', unit('W')],
  ['kW', unit('W', 1000)],
  ['hPa', unit('hPa')],
  ['mbar', unit('hPa')],
  ['Pa', unit('hPa', 0.01)],
  ['kPa', unit('hPa', 10)],
  ['mmHg', unit('hPa', 1.33322)],
  ['µg/m³', unit('µg/m³')],
  ['ug/m3', unit('µg/m³')],
  ['ppm', unit('µg/m³')],
  ['ppb', unit('µg/m³')],
  ['lx', unit('lx')],
  ['W/m²', unit('lx')],
  ['W/m2', unit('lx')],
  ['m/s', unit('m/s')],
  ['km/h', unit('m/s', 1 / 3.6)],
  ['V', unit('V')],
  ['mV', unit('V', 0.001)],
]);

/** Null if the unit is unknown or in no group. */
export const priorUnit = (name: string | null): PriorUnit | null =>
  name === null ? null : (UNITS.get(name) ?? null);

export const priorGroup = (group: PriorGroup): number => PRIOR_GROUPS.indexOf(group);

/** Words that name a quantity, at the end of a topic or of a key in a payload. */
const QUANTITIES: readonly (readonly [PriorGroup, RegExp])[] = [
  ['V', /^(?:bat|batt|battery|volt|volts|voltage)$/],
  ['°C', /^(?:t\d*|temp\w*|dewp\w*|thermocouple)$/],
  ['%', /^(?:rh|hum|humid\w*|humedad|moisture)$/],
  ['hPa', /^(?:pres|press|pressure|baro\w*)$/],
  ['lx', /^(?:light|lighting|lux|illum\w*|irrad\w*|radiation|solar|piranometro)$/],
  ['W', /^(?:power|watts?|load)$/],
  ['µg/m³', /^(?:e?co2|pm\d*|t?voc|no2|nox|o3|so2|co)$/],
  ['m/s', /^(?:wind\w*|wspm|gust)$/],
];

/** The quantity named by the last known word of a stream's name; null if no word is known. */
export function quantityOf(name: string): PriorGroup | null {
  const words = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);
  for (const word of words.reverse())
    for (const [group, pattern] of QUANTITIES) if (pattern.test(word)) return group;
  return null;
}

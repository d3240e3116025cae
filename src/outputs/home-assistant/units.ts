/**
 * Units in Home Assistant's spelling, and the device class (physical quantity) of a stream. A class is
 * given only with a unit that every Home Assistant since 2024.11 accepts for it: another unit would make the entity invalid. A
 * stream without a class keeps its unit.
 */

export interface EntityQuantity {
  /** In Home Assistant's spelling; null: none. */
  readonly unit: string | null;
  /** Null: no class fits. */
  readonly deviceClass: string | null;
  /** Useful decimals; null: depends on the values. */
  readonly decimals: number | null;
}

/** From each word of the texts to the key of its text. */
const byWord = (table: Readonly<Record<string, string>>): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(table).flatMap(([key, words]) => words.split(' ').map((word) => [word, key] as const)),
  );

/**
 * Other spellings of Home Assistant's units; the case is ignored for more than two letters, because short ones differ by case (`mL`, `ML`).
 * The micro sign is U+00B5, which old and new versions accept.
 */
const SPELLINGS = byWord({
  '°C': '℃ ºC C Cel degC celsius',
  '°F': '℉ ºF F degF fahrenheit',
  K: 'kelvin',
  '%': '%rh rh RH percent',
  W: 'w',
  kW: 'kw KW',
  Wh: 'wh',
  kWh: 'kwh',
  VA: 'va',
  kVA: 'kva',
  var: 'var',
  kvar: 'kvar',
  V: 'vac vdc',
  L: 'l',
  mL: 'ml',
  'm³': 'm3',
  'ft³': 'ft3',
  'm³/h': 'm3/h m³/h',
  'L/min': 'l/min lpm',
  'L/h': 'l/h lph',
  'L/s': 'l/s',
  'mL/s': 'ml/s',
  'gal/min': 'gpm',
  'ft³/min': 'cfm',
  'µg/m³': 'ug/m3 ug/m³ µg/m3 µg/m³',
  'µS/cm': 'us/cm',
  lx: 'lux',
  'W/m²': 'w/m2 w/m²',
  'm²': 'm2',
  'km/h': 'kmh kph',
  kn: 'kt knots',
  dBA: 'db(a) dba',
  rpm: 'r/min 1/min rpm',
  in: 'inch inches',
  s: 'sec secs second seconds',
  min: 'mins minute minutes',
  h: 'hr hrs hour hours',
  d: 'day days',
  lb: 'lbs',
});

interface Kind {
  readonly deviceClass: string;
  readonly units: readonly string[];
  readonly name?: RegExp;
}

/** Parts of a name: `soil_moisture`, `airPressure` and `TEMP-1` are lists of words. */
const word = (text: string): RegExp => new RegExp(`(?:^|[^a-z])(?:${text})(?:[^a-z]|$)`);

/** The first kind with a matching unit and name is used. A kind without a name matches by its unit alone. */
const KINDS: readonly Kind[] = [
  { deviceClass: 'temperature', units: ['°C', '°F', 'K'] },
  { deviceClass: 'battery', units: ['%'], name: word('batter(?:y|ies)|bat|soc|state of charge') },
  { deviceClass: 'moisture', units: ['%'], name: word('moisture|soil|moist') },
  { deviceClass: 'humidity', units: ['%'], name: word('humid(?:ity)?|hum|rh') },
  { deviceClass: 'power_factor', units: ['%'], name: word('power factor|pf|cos ?phi') },
  { deviceClass: 'power', units: ['W', 'kW'] },
  { deviceClass: 'apparent_power', units: ['VA'] },
  { deviceClass: 'reactive_power', units: ['var'] },
  { deviceClass: 'energy', units: ['Wh', 'kWh', 'MWh', 'MJ', 'GJ'] },
  { deviceClass: 'voltage', units: ['V', 'mV'] },
  { deviceClass: 'current', units: ['A', 'mA'] },
  { deviceClass: 'frequency', units: ['Hz', 'kHz', 'MHz', 'GHz'] },
  { deviceClass: 'illuminance', units: ['lx'] },
  { deviceClass: 'irradiance', units: ['W/m²'] },
  {
    deviceClass: 'atmospheric_pressure',
    units: ['hPa', 'mbar', 'inHg', 'mmHg'],
    name: word('baro(?:meter|metric)?|atmospher(?:e|ic)|sea ?level|air pressure|press|pressure'),
  },
  { deviceClass: 'pressure', units: ['Pa', 'hPa', 'kPa', 'bar', 'cbar', 'mbar', 'mmHg', 'inHg', 'psi'] },
  { deviceClass: 'carbon_dioxide', units: ['ppm'], name: word('co2|eco2|carbon dioxide') },
  { deviceClass: 'carbon_monoxide', units: ['ppm'], name: word('co|carbon monoxide') },
  {
    deviceClass: 'volatile_organic_compounds_parts',
    units: ['ppm', 'ppb'],
    name: word('t?vocs?|volatile organic compounds'),
  },
  {
    deviceClass: 'volatile_organic_compounds',
    units: ['µg/m³'],
    name: word('t?vocs?|volatile organic compounds'),
  },
  { deviceClass: 'pm25', units: ['µg/m³'], name: word('pm ?2[ _.]?5') },
  { deviceClass: 'pm10', units: ['µg/m³'], name: word('pm ?10') },
  { deviceClass: 'pm1', units: ['µg/m³'], name: word('pm ?1') },
  { deviceClass: 'ozone', units: ['µg/m³'], name: word('o3|ozone') },
  { deviceClass: 'nitrogen_dioxide', units: ['µg/m³'], name: word('no2|nitrogen dioxide') },
  { deviceClass: 'sulphur_dioxide', units: ['µg/m³'], name: word('so2|sulphur dioxide') },
  { deviceClass: 'signal_strength', units: ['dBm', 'dB'], name: word('rssi|snr|signal|link|wifi') },
  { deviceClass: 'sound_pressure', units: ['dBA', 'dB'], name: word('sound|noise|loudness') },
  { deviceClass: 'gas', units: ['m³', 'ft³', 'CCF'], name: word('gas') },
  {
    deviceClass: 'volume_storage',
    units: ['m³', 'L', 'mL', 'gal', 'ft³', 'CCF'],
    name: word('tank|level|cistern|stock|remaining|storage'),
  },
  { deviceClass: 'water', units: ['m³', 'L', 'gal', 'ft³', 'CCF'], name: word('water|cold|hot') },
  { deviceClass: 'volume_flow_rate', units: ['m³/h', 'L/min', 'ft³/min', 'gal/min'] },
  {
    deviceClass: 'precipitation',
    units: ['mm', 'cm', 'in'],
    name: word('rain(?:fall)?|precip(?:itation)?|snow'),
  },
  { deviceClass: 'precipitation_intensity', units: ['mm/h', 'mm/d', 'in/h', 'in/d'] },
  { deviceClass: 'distance', units: ['km', 'm', 'cm', 'mm', 'mi', 'yd', 'ft', 'in'] },
  { deviceClass: 'wind_speed', units: ['m/s', 'km/h', 'mph', 'kn', 'ft/s'], name: word('wind|gust') },
  { deviceClass: 'speed', units: ['m/s', 'km/h', 'mph', 'kn', 'ft/s'] },
  { deviceClass: 'weight', units: ['kg', 'g', 'mg', 'lb', 'oz'] },
  { deviceClass: 'duration', units: ['d', 'h', 'min', 's', 'ms'] },
  { deviceClass: 'data_rate', units: ['bit/s', 'kbit/s', 'Mbit/s', 'B/s', 'kB/s', 'MB/s'] },
  { deviceClass: 'data_size', units: ['B', 'kB', 'MB', 'GB', 'TB', 'KiB', 'MiB', 'GiB'] },
];

const DECIMALS = byWord({
  0: 'mV mA lx W/m² Pa ppm ppb dBm',
  1: '°C °F K % W VA var V hPa mbar µg/m³ dB dBA m/s km/h L/min',
  2: 'A Hz kPa bar',
  3: 'kW',
});

/**
 * @param unit as the config or the sensor writes it
 * @param name of the stream within its device, such as `soil_moisture`
 * @param additive values are increases of a bucket, which may be far smaller than readings of the same unit
 */
export function quantityOf(unit: string | null, name: string, additive = false): EntityQuantity {
  const written = unit === null ? '' : unit.trim().replaceAll('μ', 'µ');
  if (written === '') return { unit: null, deviceClass: null, decimals: null };
  const own =
    SPELLINGS.get(written) ??
    (written.length > 2 ? SPELLINGS.get(written.toLowerCase()) : undefined) ??
    written;
  const words = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, ' ');
  const kind = KINDS.find(
    ({ units, name: pattern }) => units.includes(own) && (pattern === undefined || pattern.test(words)),
  );
  const decimals = DECIMALS.get(own);
  return {
    unit: own,
    deviceClass: kind?.deviceClass ?? null,
    decimals: additive || decimals === undefined ? null : Number(decimals),
  };
}

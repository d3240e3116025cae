/** The quantities of fields and topics with common names: unit, limits, and whether they count up. One table; the first match counts. */

export interface Quantity {
  readonly unit: string | null;
  /** Limits of any real reading, outdoors or indoors; used only if all received values are within them. */
  readonly min: number | null;
  readonly max: number | null;
  /** `counter`: its increase is forecast. `angle`: degrees on a circle. */
  readonly kind: 'gauge' | 'counter' | 'angle';
  /** Never below 0, unless a lower value was received. */
  readonly floor: boolean;
  /** Shortest useful step, ms. */
  readonly minStepMs: number;
}

const FIVE_MINUTES = 300_000;

export const gauge = (
  unit: string | null,
  min: number | null = null,
  max: number | null = null,
): Quantity => ({ unit, min, max, kind: 'gauge', floor: false, minStepMs: FIVE_MINUTES });

/** A quantity that is rarely negative and may change within seconds. */
export const flow = (unit: string | null, max: number | null = null): Quantity => ({
  ...gauge(unit, null, max),
  floor: true,
  minStepMs: 0,
});

/** As `flow`, but often negative: a battery, a grid connection. */
export const signedFlow = (unit: string | null): Quantity => ({ ...flow(unit), floor: false });

export const counter = (unit: string | null, minStepMs = FIVE_MINUTES): Quantity => ({
  ...gauge(unit),
  kind: 'counter',
  minStepMs,
});

const ANGLE: Quantity = { ...gauge('°', 0, 360), kind: 'angle' };
export const PERCENT = gauge('%', 0, 100);
export const CELSIUS = gauge('°C', -60, 150);
export const FAHRENHEIT = gauge('°F', -76, 302);
export const HPA = gauge('hPa', 300, 1200);
/** Not a measurement. */
export const OUT = null;

interface Known {
  readonly words: RegExp;
  readonly quantity: Quantity;
  /** Whether the match counts only if all values lie within the limits. */
  readonly fits?: boolean;
}

const known = (words: RegExp, quantity: Quantity, fits = false): Known => ({ words, quantity, fits });

/** Prices and costs, also per amount: `price per kWh`. */
const PRICE = /\b(?:price|cost|costs)\b|^tariff (?!\d)/;

/** A battery alone, or its level: not `battery energy in`, `battery capacity` or `current battery`. */
const BATTERY =
  /^(?!.*\b(?:voltage|volts?|current|amps?|power|energy)\b.*\bbatt(?:ery)?(?: ?\d+)?$).*\b(?:battery|batt|soc|state of charge)(?: (?:level|percent|percentage|soc|state of charge))?(?: ?\d+)?$/;

/** Matched against the words of a name, from its last level to its first: `ENERGY.Power` as `power`, then as `energy`. */
const QUANTITIES: readonly Known[] = [
  known(PRICE, gauge(null)),
  known(/\b(?:power ?factor|pf|cos ?phi|factor)\b/, gauge(null, -1, 1), true),
  known(/\bpower ?factor\b/, gauge(null)),
  known(/\bapparent ?power\b/, flow('VA')),
  known(/\breactive ?power\b/, signedFlow('var')),
  known(/\b(?:soil moisture|moisture|soil humidity)\b/, PERCENT, true),
  known(/\b(?:humidity|hum|rh|relative humidity)\d?\b/, PERCENT, true),
  known(/\b(?:temperature|temp|dew ?point|temperatur)\d{0,2}\b/, CELSIUS),
  known(/\b(?:battery|batt|bat) ?(?:voltage|volt|v)\b/, gauge('V', 0, 100), true),
  known(/\b(?:battery|batt|bat) ?(?:voltage|volt|v|mv)\b/, gauge('mV', 0, 100_000), true),
  // a cell in V, as LoRaWAN decoders send it, and not 3 %
  known(
    /^(?!.*\b(?:current|amps?|power|energy)\b).*\b(?:battery|batt)(?: ?\d+)?$/,
    gauge('V', 1.5, 4.5),
    true,
  ),
  known(BATTERY, PERCENT, true),
  known(/\b(?:pressure|barometer)\b/, HPA, true),
  known(/\b(?:pressure|barometer)\b/, gauge('Pa', 30_000, 120_000), true),
  known(/\b(?:e?co2|carbon dioxide)\b/, gauge('ppm', 0, 50_000)),
  known(/\bt?voc\b/, gauge('ppb', 0)),
  known(/\bpm ?(?:1|2 ?5|4|10|25)\b/, gauge('µg/m³', 0, 5000)),
  known(/\b(?:illuminance|lux|illumination|luminosity)\b/, gauge('lx', 0, 200_000)),
  known(/\b(?:irradiance|solar radiation|radiation)\b/, flow('W/m²', 2000)),
  known(/\buvi?(?: index)?\b/, gauge(null, 0, 50)),
  known(/\benergy (?:left|remaining|available)\b|\b(?:remaining|available) energy\b/, gauge('kWh', 0)),
  // channels of OpenEMS: `_sum/GridBuyActiveEnergy`, `meter0/ActiveProductionEnergy`
  known(
    /\b(?:active (?:production|consumption|charge|discharge)|(?:production|consumption|buy|sell) active|dc (?:charge|discharge)) energy$/,
    counter('Wh'),
  ),
  known(/\b(?:energy|kwh)\b/, counter('kWh')),
  known(/^p ?(?:ac|dc)\d?$|^p (?:pv|load)$|^(?:home ?)?(?:ac|dc|pv|own|load|home) p$/, flow('W')),
  known(/^p (?:grid|akku|batt?|battery)$|^(?:home ?)?(?:grid|akku|bat|batt|battery) p$/, signedFlow('W')),
  known(/^q ?ac\d?$/, signedFlow('var')),
  known(/^s ?ac\d?$/, flow('VA')),
  known(/^[uv] ?(?:ac|dc)\d?$/, { ...gauge('V', 0, 1500), minStepMs: 0 }, true),
  known(/^i ?(?:ac|dc)\d?$/, flow('A')),
  known(/^f ?ac\d?$/, { ...gauge('Hz', 0, 1000), minStepMs: 0 }, true),
  known(/\byield\b/, counter(null)),
  known(
    /\b(?:grid|netz|battery|batt|bat|akku)\b.*\b(?:power|leistung)\b|\bpower (?:grid|battery|batt|bat)\b/,
    signedFlow('W'),
  ),
  known(/\b(?:power|watts?|apower|leistung|momentanleistung)\b/, flow('W')),
  known(/\b(?:voltage|volts?)\b/, { ...gauge('V', 0, 1500), minStepMs: 0 }, true),
  // a battery in mV, as Zigbee2MQTT sends it; then mains
  known(/\b(?:voltage|volts?)\b/, gauge('mV', 0, 100_000), true),
  known(/\b(?:voltage|volts?)\b/, gauge('mV', 0, 1_500_000), true),
  known(/^(?:grid current|current grid)$/, signedFlow('A')),
  // otherwise `current` means now: `current_month`, `current_hca`
  known(
    /\bcurrent\b(?= ?(?:$|(?:l|phase|ph|ct|pv|string|channel)? ?\d|[abcn]$|phase|neutral|ac|dc|in\b|input|out|avg|average|mean|min|max|peak|load|solar|rms|total|m?a$))|\b(?:amps?|ampere)\b/,
    flow('A'),
  ),
  known(/\b(?:frequency|freq)\b/, { ...gauge('Hz', 0, 1000), minStepMs: 0 }, true),
  known(
    /\bwind ?(?:dir|direction|bearing|deg)\b|\b(?:winddir|winddirection|bearing|heading|azimuth)\b/,
    ANGLE,
    true,
  ),
  known(/\bwind ?(?:speed|gust|avg|max|average)\b|\bgust\b/, gauge('m/s', 0, 120), true),
  known(/\b(?:rain|precipitation) ?(?:rate|intensity)\b/, gauge('mm/h', 0)),
  known(/\b(?:rain|rainfall|precipitation)\b/, counter('mm')),
  known(/\b(?:noise|sound)\b/, gauge('dB', 0, 200)),
  known(/\b(?:strike|pulse|impulse)s?(?: count)?\b|\bcounter\b/, counter(null)),
  known(/\b(?:accumulated|cumulative|lifetime|odometer)\b/, counter(null)),
  known(/\b(?:bytes|packets) (?:recv|sent|received|transmitted|rx|tx)\b/, counter(null)),
  // OBIS codes of energy and power
  known(/^(?:1 0 )?[12] 8 \d$/, counter(null)),
  known(/^(?:1 0 )?(?:1|2|16|21|22|36|41|42|56|61|62|76) 7 0$/, signedFlow(null)),
  known(/\bz(?:ae|ä)hlerstand\b/, counter(null)),
  known(
    /\b(?:gas|water)(?: (?:volume|consumption|total|meter|delivered))\b|\b(?:volume|consumption) total\b/,
    counter('m³'),
  ),
  known(/\b(?:flow|flow rate)\b/, flow(null)),
];

const wordList = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s*[,\n]\s*/));

/**
 * Last words of names for the state or the settings of a device, not for measurements. To leave out another, add it to a list, in lower
 * case with a blank between its words: `freeHeap` is `free heap`.
 */
const HOUSEKEEPING_ENDINGS = wordList(`
  link quality, linkquality, lqi, rssi, rssi dbm, snr, lsnr, signal, signal strength, tx power, wifi, wi fi, wifi strength, wifistrength
  uptime, uptime sec, uptime seconds, spreading factor, heap, free heap, heap frag, max alloc, free mem, freemem, free memory, freememory, vcc, voltage mv, load avg, loadavg
  seq, sequence, sequence num, sequence number, packet id, packetid, packet count, packetcount, message id, messageid, message type
  f cnt, fcnt, f port, fport, dr, mqtt count, mqttcount, boot count, bootcount, alarm cnt, outage count
  reboot, reboots, restart, restarts, reset, resets, reconnect, reconnects, failure, failures, error, errors, error code, alarm
  id, idx, part number, partnumber, serial, imei, imsi, iccid, phone, phone number, zip, zip code, postcode
  ver, version, firmware, fw, sw, hw, build, rev, revision, protocol, data format, channel, ch, port, code, button
  time, date, timestamp, minute ts, ts, last seen, elapsed, epoch, unix, unixtime, utc, since, sunrise, sunset, yesterday, today, last month
  latitude, longitude, altitude, lat, lon, lng, accuracy
  setpoint, set point, calibration, offset, sensitivity, timeout, countdown, threshold, duration, interval, keep time, transition, delay
  brightness, color, colour, color temp, hue, saturation, effect, led, volume level
  battery ok, battery low, tamper, state, status, mode, sleep, tarif, tariff, tarif group, tariff group
`);
const PART_NUMBER = /\w+part ?number$/;

/** Whole names: KNX data point types, quality codes, Modbus addresses, and states of a gateway. */
const CODES = wordList(`
  available, reachable, producing, valid, is valid, qos, retain, btn, priority, dpt, knx dpt, qc, qx, long, quality code, qualitycode, quality codes, qualitycodes
  slave, slave id, slaveid, slave addr, slaveaddr, slave address, slaveaddress, unit id, unitid, function code, functioncode
  register, register addr, registeraddr, register address, registeraddress, register type, registertype
`);
/** Counters of a radio, `tx requests failed`, and `2id`. */
const RADIO_COUNTER =
  /^(?:(?:tx|rx) ?(?:re )?(?:requests?|success|fail\w*|received|reads|writes|errors?)(?: \w+)?|\w*\d+id)$/;

/** Settings that have the name of a quantity: `max charging current`. */
const SETTING_BEFORE = wordList(
  `min, max, minimum, maximum, limit, target, desired, nominal, nom, rated, buffer, residual, comfort, eco, set, sel, selected`,
);
const SETTING_QUANTITY = wordList('power, current, soc, temperature, temp, voltage');
const CHARGE = wordList('charge, charging, discharge, discharging');
/** Anywhere in the name. */
const SETTING_WORDS = wordList(`
  limit, target, setpoint, set point, color temp, update frequency, operating time, work time, worktime, sag, sags, swell, swells
`);

/** Whether one of the lists has the last one, two or three words. */
const endsIn = (words: readonly string[], list: ReadonlySet<string>): boolean =>
  [1, 2, 3].some((count) => words.length >= count && list.has(words.slice(-count).join(' ')));

function isSetting(words: readonly string[]): boolean {
  const [first = ''] = words;
  if (words.length > 1 && (first === 'previous' || first === 'target')) return true;
  const joined = words.flatMap((word, at) => [word, `${word} ${words[at + 1] ?? ''}`]);
  if (joined.some((text) => SETTING_WORDS.has(text))) return true;
  if (!SETTING_QUANTITY.has(words.at(-1) ?? '')) return false;
  const before = CHARGE.has(words.at(-2) ?? '') ? words.at(-3) : words.at(-2);
  return SETTING_BEFORE.has(before ?? '');
}

/** Units at the end of a name. A unit of one letter counts only after a quantity that is measured in it. */
const SUFFIXES: readonly (readonly [RegExp, string])[] = [
  [/temp(?:erature)?\w* c$|\bdew ?point c$|\btemp ?c$/, '°C'],
  [/temp(?:erature)?\w* f$|\bdew ?point f$|\btemp ?f$/, '°F'],
  [/ hpa$/, 'hPa'],
  [/ kpa$/, 'kPa'],
  [/ mbar$/, 'mbar'],
  [/ bar$/, 'bar'],
  [/ psi$/, 'psi'],
  [/ (?:pct|percent|percentage)$/, '%'],
  [/ ppm$/, 'ppm'],
  [/ ppb$/, 'ppb'],
  [/ ug m3$/, 'µg/m³'],
  [/ (?:lux|lx)$/, 'lx'],
  [/ kwh$/, 'kWh'],
  [/ mwh$/, 'MWh'],
  [/ wh$/, 'Wh'],
  [/ kw$/, 'kW'],
  [/(?:power|watt|leistung)\w*(?: \w+)* w$/, 'W'],
  [/ kva$/, 'kVA'],
  [/ va$/, 'VA'],
  [/\w var$/, 'var'],
  [/(?:volt|battery|batt|supply)\w*(?: l?\d)? v$/, 'V'],
  [/ mv$/, 'mV'],
  [/(?:current|amp)\w*(?: l?\d)? a$/, 'A'],
  [/ ma$/, 'mA'],
  [/ hz$/, 'Hz'],
  [/ (?:km ?h|kph)$/, 'km/h'],
  [/(?:wind|gust)\w*(?: \w+)* (?:kn|kt|knots?)$/, 'kn'],
  [/ mm per hour$/, 'mm/h'],
  [/ cm per hour$/, 'cm/h'],
  [/ in per hour$/, 'in/h'],
  [/ in ?hg$/, 'inHg'],
  [/ mm ?hg$/, 'mmHg'],
  [/ m3 ?h$/, 'm³/h'],
  [/ m3 ?c$/, 'm³°C'],
  [/flow\w*(?: \w+)* l ?h$/, 'L/h'],
  [/flow\w*(?: \w+)* (?:l ?min|lpm)$/, 'L/min'],
  [/ khz$/, 'kHz'],
  [/ m s$/, 'm/s'],
  [/ (?:mi h|mph)$/, 'mph'],
  [/(?:rain|precip)\w*(?: \w+)* in$/, 'in'],
  [/ mm h$/, 'mm/h'],
  [/ mm$/, 'mm'],
  [/ cm$/, 'cm'],
  [/ km$/, 'km'],
  [/ m3$/, 'm³'],
  [/ (?:liters?|litres?)$/, 'L'],
  [/ deg$/, '°'],
  [/ db$/, 'dB'],
];

const ENERGY_OR_VOLUME = /^(?:[kM]?Wh|Wmin|[kM]?VAh|k?varh|m³|m3|L|l|ft³|ft3|CCF|gal|[GM]J)$/;
const TOTAL =
  /\b(?:total|totals|sum|counter|count|consumption|consumed|import|imported|export|exported|delivered|returned|received|meter|index|reading|forward|reverse|generated|produced|production|energy|gas|tariff ?\d?|t\d)\b/;

/** Names of quantities at the end or start of a word: `outdoortemp`, `yieldtotal`, `powerdc`. */
const COMPOUND_END =
  /(?<![a-z])(?!concurrent|recurrent|(?:con|in|di|re|sub)version|horsepower)([a-z]{2,}?)(temperature|temp|humidity|voltage|current|power|energy|pressure|frequency|total|version)(?![a-z])/g;
const COMPOUND_START =
  /(?<![a-z])(temperature|humidity|voltage|power|energy|yield|battery)(ac|dc|in|out|factor|day|today|month|year|import|export|level|soc)(?![a-z])/g;

/** Units with a capital letter after a prefix, such as in `power_kW`. A name is not split there. */
const PREFIXED_UNIT = /(?<![a-z])(?:[hk]Pa|k(?:Wh|W|VAh|VA|V|Hz)|m(?:W|V|Ah|A))(?![A-Za-z])/g;

/** The words of one level of a name: `windDir_deg` -> `wind dir deg`. */
const wordsOf = (level: string): string =>
  level
    .replaceAll(PREFIXED_UNIT, (unit) => ` ${unit.toLowerCase()} `)
    .replaceAll(/([a-z\d])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .replaceAll(COMPOUND_END, '$1 $2')
    .replaceAll(COMPOUND_START, '$1 $2')
    .replaceAll(/[^a-z0-9äöüß%°]+/g, ' ')
    .trim();

/** From the last level of a name to the first: `ENERGY.Power` -> power, energy. */
const levelsOf = (name: string): string[] =>
  name
    .split(/[/.]/)
    .map(wordsOf)
    .filter((level) => level !== '' && !/^\d+$/.test(level))
    .filter((level, at, all) => all.length === 1 || at < all.length - 1 || !/^(?:v|val|value)$/.test(level))
    .reverse();

/** What is in a store goes up and down. */
const STORED =
  /\b(?:left|remaining|available|capacity|stored|storage|tank|level|stock|content|fill|battery|batt)\b/;

const TOTALIZER = /\btotal(?:s|izer)?\b|\bcounter\b/;

interface Seen {
  readonly min: number;
  readonly max: number;
  /** Never went down. */
  readonly rising: boolean;
}

/**
 * What a name measures, if the values that were seen fit; null when unknown.
 * @param sentUnit as the payload or the broker says
 */
export function quantityOf(name: string, seen: Seen, sentUnit: string | null = null): Quantity | null {
  const levels = levelsOf(name);
  const unit = sentUnit ?? (PRICE.test(levels[0] ?? '') ? null : suffixUnit(levels[0] ?? ''));
  let found: Quantity | null = null;
  for (const [at, level] of levels.entries()) {
    // the members of a battery are not its level
    if (at > 0 && BATTERY.test(level)) continue;
    found = byWords(level, seen);
    if (found !== null) break;
  }
  if (unit === null) {
    if (found === null && TOTALIZER.test(levels[0] ?? '') && seen.rising) return counter(null);
    return found?.kind === 'counter' && !seen.rising && !TOTAL.test(levels[0] ?? '')
      ? { ...found, kind: 'gauge' }
      : found;
  }
  const rises = seen.rising && seen.max > seen.min && !levels.some((level) => STORED.test(level));
  return withUnit(unit, levels[0] ?? '', found, seen, rises);
}

function withUnit(unit: string, level: string, found: Quantity | null, seen: Seen, rises: boolean): Quantity {
  if (unit === found?.unit) return found;
  if (unit === '%' || /^%RH$/i.test(unit)) return { ...PERCENT, unit };
  if (unit === '°C' || unit === 'Cel' || unit === '℃') return { ...CELSIUS, unit };
  if (unit === '°F' || unit === '℉') return { ...FAHRENHEIT, unit };
  if (unit === '°' && seen.min >= 0 && seen.max <= 360) return ANGLE;
  if (unit === 'hPa' || unit === 'mbar') return { ...HPA, unit };
  if (ENERGY_OR_VOLUME.test(unit) && (found?.kind === 'counter' || TOTAL.test(level) || rises))
    return counter(unit);
  if (/^[kM]?(?:W|VA|var)$/.test(unit)) return found?.floor === false ? signedFlow(unit) : flow(unit);
  if (/^[mk]?V$|^m?A$|^Hz$/.test(unit))
    return { ...(found ?? gauge(unit)), unit, min: null, max: null, minStepMs: 0 };
  if (found?.kind === 'counter') return { ...found, unit };
  return { ...gauge(unit), floor: found?.floor ?? false };
}

function byWords(level: string, { min, max }: Seen): Quantity | null {
  const found = QUANTITIES.find(
    ({ words, quantity, fits }) =>
      words.test(level) &&
      (fits !== true ||
        ((quantity.min === null || min >= quantity.min) && (quantity.max === null || max <= quantity.max))),
  );
  return found?.quantity ?? null;
}

const suffixUnit = (level: string): string | null =>
  SUFFIXES.find(([suffix]) => suffix.test(` ${level}`))?.[1] ?? null;

/** Whether a level of a topic names a measured quantity. */
export function measures(level: string): boolean {
  const words = wordsOf(level);
  return (
    suffixUnit(words) !== null ||
    byWords(words, { min: 0, max: 0, rising: true }) !== null ||
    byWords(words, { min: 1000, max: 1000, rising: true }) !== null ||
    TOTALIZER.test(words)
  );
}

/** Whether a level of a topic names the quantity, so that topics that differ in it need separate rules. */
export const namesQuantity = (level: string): boolean => measures(level) || isHousekeeping(level);

/** Quality codes of OPC: 0 bad, 64 uncertain, 192 good. */
const isQuality = (value: number): boolean => value === 0 || value === 64 || value === 192;

/** Whether a field is the quality of the readings beside it: `{"v":21.5,"q":192}`. */
export function isQualityCode(name: string, { min, max }: Seen): boolean {
  return /^q(?:uality)?$/.test(levelsOf(name)[0] ?? '') && isQuality(min) && isQuality(max) && max > 0;
}

export function isHousekeeping(name: string): boolean {
  const [last = '', before = ''] = levelsOf(name);
  const words = last.split(' ');
  return (
    endsIn(words, HOUSEKEEPING_ENDINGS) ||
    PART_NUMBER.test(last) ||
    CODES.has(last) ||
    RADIO_COUNTER.test(last) ||
    isSetting(words) ||
    /\bstate\.(?:desired|delta)\./.test(name) ||
    /^(?:update|wifi|diagnostics|errors|tx info|lora|data rate|lo ra modulation info)$/.test(before)
  );
}

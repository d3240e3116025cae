/** What fields and topics of usual names measure: unit, and limits that hold anywhere on earth or indoors. */

export interface Quantity {
  readonly unit: string | null;
  readonly min: number | null;
  readonly max: number | null;
  /** Counts up: its increase is what is forecast. */
  readonly counter: boolean;
}

interface Known extends Quantity {
  readonly words: readonly string[];
}

const known = (
  words: string,
  unit: string | null,
  min: number | null = null,
  max: number | null = null,
  counter = false,
): Known => ({ words: words.split(' '), unit, min, max, counter });

/** The first entry with a matching word and fitting values counts. */
const QUANTITIES: readonly Known[] = [
  known('temperature temp dewpoint dew_point', '°C', -60, 150),
  known('humidity hum rh relative_humidity', '%', 0, 100),
  known('moisture soil_moisture', '%', 0, 100),
  known('pressure barometer', 'hPa', 300, 1200),
  known('battery soc state_of_charge', '%', 0, 100),
  known('co2 eco2', 'ppm', 0, 50_000),
  known('pm1 pm25 pm2_5 pm10', 'µg/m³', 0, 5000),
  known('illuminance lux brightness_lux', 'lx', 0, 200_000),
  known('energy energy_total total_energy kwh', 'kWh', 0, null, true),
  known('power active_power watt watts', 'W'),
  known('voltage volt', 'V', 0, 1500),
  known('voltage volt', 'mV', 0, 1_500_000),
  known('current amps', 'A'),
  known('frequency', 'Hz', 0, 1000),
  known('wind_speed windspeed', 'm/s', 0, 120),
  known('rain rainfall precipitation', 'mm', 0),
  known('contact occupancy presence motion state switch water_leak smoke', null, 0, 1),
];
/** Words that say how the device is, not what it measures. */
const HOUSEKEEPING =
  /^(?:linkquality|lqi|rssi|snr|uptime|seq|sequence|id|version|channel|battery_low|tamper|voltage_mv|heap|free_heap|wifi_signal)$/;

/** From the words of a name, the last first: `ENERGY.Power` -> power, energy. */
function wordsOf(name: string): string[] {
  return name
    .split(/[/.]/)
    .map((word) =>
      word
        .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
        .toLowerCase()
        .replaceAll(/[ -]/g, '_'),
    )
    .reverse();
}

/** What a name measures, if the values that were seen fit; null when unknown. */
export function quantityOf(name: string, min: number, max: number): Quantity | null {
  for (const word of wordsOf(name)) {
    const fitting = QUANTITIES.find(
      (quantity) =>
        (quantity.words.includes(word) || quantity.words.some((each) => word.endsWith(`_${each}`))) &&
        (quantity.min === null || min >= quantity.min) &&
        (quantity.max === null || max <= quantity.max),
    );
    if (fitting !== undefined) return fitting;
  }
  return null;
}

/** Whether a level of a topic says what is measured, so that topics that differ in it need rules of their own. */
export function namesQuantity(level: string): boolean {
  return quantityOf(level, 0, 0) !== null || quantityOf(level, 1000, 1000) !== null;
}

export function isHousekeeping(name: string): boolean {
  return HOUSEKEEPING.test(wordsOf(name)[0] ?? '');
}

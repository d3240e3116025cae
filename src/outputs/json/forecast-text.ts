/**
 * The JSON text of a forecast, the most frequent message: written number by number to a buffer, so that neither an object nor a
 * list of numbers is allocated for it. The field names and their order are those of the MQTT reference.
 */
import { inDigits, LONGEST_NUMBER, writeDecimal, writeInDigits } from '../../forecast/digits.ts';
import type { Provenance } from '../../forecast/explanation.ts';
import { allFinite, type Crossing, type Forecast } from '../../forecast/forecast.ts';
import { Q, QUANTILES } from '../../quantiles.ts';
import type { ModelName } from '../output.ts';
import { isoOrNull, QUANTILE_NAMES, round, short } from './messages.ts';

export interface TextOptions {
  /** Which of `QUANTILES` to carry. */
  readonly quantiles: readonly number[];
  /** Significant digits of its values, see `digitsOf`. */
  readonly digits: number;
  readonly issuedMs: number;
  readonly model: ModelName;
  /** False: omitted even if the forecast has it. */
  readonly provenance?: boolean;
}

/** Fewest significant digits of a shortened forecast. */
const FEWEST_DIGITS = 3;
/** Bytes in addition to names, crossings and the values of the leads. */
const FIXED = 1024;
/** Most bytes of a UTF-16 unit in JSON: an escape sequence. */
const ESCAPED = 6;
const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const POINT = 0x2e;
/** Characters that are one byte and, except for the two above, need no escape. */
const [FIRST_PLAIN, LAST_PLAIN] = [0x20, 0x7e];
/** Cached texts of seconds: forecasts of one round share most of their times. */
const KEPT_SECONDS = 16;
/** Range of times with a four-digit year, ms. */
const [YEAR_1970, YEAR_10000] = [0, 253_402_300_800_000];

export class ForecastText {
  private bytes = Buffer.allocUnsafeSlow(4096);
  private at = 0;
  private isAscii = true;
  /** Texts of seconds, `2025-01-01T00:00:00.`, by the last digits of the second. */
  private readonly seconds = new Float64Array(KEPT_SECONDS).fill(Number.NaN);
  private readonly secondTexts: string[] = [];

  /**
   * The message as text of at most `maxBytes` bytes, the broker's limit: shortened by removing the provenance, then with fewer
   * quantiles, then fewer digits, then fewer leads. Returns the shortest one if none is short enough.
   * @returns null if a value is not finite: then nothing is published
   */
  of(forecast: Forecast, options: TextOptions, maxBytes: number): string | null {
    if (!this.fit(forecast, options, maxBytes)) return null;
    return this.isAscii ? this.bytes.toString('latin1', 0, this.at) : this.bytes.toString('utf8', 0, this.at);
  }

  /** The same in bytes, which are outside of the heap: a message may wait for the broker longer than the collector takes to visit it. */
  bytesOf(forecast: Forecast, options: TextOptions, maxBytes: number): Uint8Array | null {
    if (!this.fit(forecast, options, maxBytes)) return null;
    const copy = Buffer.allocUnsafe(this.at);
    this.bytes.copy(copy, 0, 0, this.at);
    return copy;
  }

  /** @returns whether all values are finite */
  private fit(forecast: Forecast, options: TextOptions, maxBytes: number): boolean {
    if (!allFinite(forecast.quantiles)) return false;
    this.write(forecast, options, forecast.leads);
    if (this.at > maxBytes)
      for (const { leads, ...shorter } of shorterOptions(options, forecast.leads)) {
        this.write(forecast, { ...options, ...shorter, provenance: false }, leads);
        if (this.at <= maxBytes) break;
      }
    return true;
  }

  private write(forecast: Forecast, options: TextOptions, leads: number): void {
    const { quantiles, digits, issuedMs, model } = options;
    const { stream, unit, input, coverage, crossings } = forecast;
    this.at = 0;
    this.isAscii = true;
    const names = stream.length + (unit?.length ?? 0) + model.id.length + model.version.length;
    this.reserve(FIXED + ESCAPED * names + quantiles.length * (leads + 1) * LONGEST_NUMBER);
    this.plain('{"v":1,"stream":');
    this.text(stream);
    this.plain(',"unit":');
    if (unit === null) this.plain('null');
    else this.text(unit);
    this.plain(',"issued":');
    this.time(issuedMs);
    this.plain(',"origin":');
    this.time(forecast.originMs);
    this.plain(',"step_s":');
    this.number(forecast.stepMs / 1000);
    this.plain(',"seq":');
    this.number(forecast.seq);
    this.plain(',"model":{"id":');
    this.text(model.id);
    this.plain(',"version":');
    this.text(model.version);
    this.plain(',"kind":"');
    this.plain(forecast.kind);
    this.plain('"},"input":{"quality":"');
    this.plain(input.quality);
    if (input.marks !== undefined) {
      this.plain('","marks":');
      this.json(input.marks);
      this.plain(',"observed":');
    } else this.plain('","observed":');
    this.time(input.observedMs);
    this.plain(',"age_s":');
    this.number(input.ageMs === null ? null : Math.round(input.ageMs / 1000));
    this.plain('}');
    for (let q = 0; q < Q; q++)
      if (quantiles.includes(QUANTILES[q])) this.column(forecast.quantiles, q, leads, digits);
    this.plain(',"coverage":{"target":');
    this.number(short(coverage.target));
    this.plain(',"observed":');
    this.number(coverage.observed === null ? null : short(coverage.observed));
    this.plain(',"n":');
    this.number(coverage.n);
    this.plain('}');
    if (crossings.length > 0) {
      this.plain(',"crossing":');
      this.json(crossings.map(crossingOf));
    }
    if (forecast.provenance !== undefined && options.provenance !== false) {
      this.plain(',"provenance":');
      this.json(provenanceOf(forecast.provenance, options));
    }
    this.plain('}');
  }

  private column(values: Float64Array, q: number, leads: number, digits: number): void {
    this.plain(',"');
    this.plain(QUANTILE_NAMES[q]);
    this.plain('":[');
    const { bytes } = this;
    let { at } = this;
    for (let lead = 0; lead < leads; lead++) {
      if (lead > 0) bytes[at++] = COMMA;
      at = writeInDigits(values[lead * Q + q], digits, bytes, at);
    }
    this.at = at;
    this.plain(']');
  }

  /** Writes text without quotes and escapes. */
  private plain(text: string): void {
    const { bytes } = this;
    let { at } = this;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.at = at;
  }

  private text(text: string): void {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code < FIRST_PLAIN || code > LAST_PLAIN || code === QUOTE || code === BACKSLASH) {
        this.json(text);
        return;
      }
    }
    this.bytes[this.at++] = QUOTE;
    this.plain(text);
    this.bytes[this.at++] = QUOTE;
  }

  private json(value: unknown): void {
    const text = JSON.stringify(value);
    this.reserve(3 * text.length);
    const written = this.bytes.write(text, this.at, 'utf8');
    this.isAscii &&= written === text.length;
    this.at += written;
  }

  private number(value: number | null): void {
    if (value !== null && Number.isInteger(value) && value >= 0 && value < 1e9)
      this.at = writeDecimal(value, 0, this.bytes, this.at);
    else this.json(value);
  }

  /** Writes a time as ISO 8601 UTC. */
  private time(ms: number | null): void {
    if (ms === null || !(ms >= YEAR_1970 && ms < YEAR_10000)) {
      this.json(isoOrNull(ms));
      return;
    }
    const whole = Math.trunc(ms);
    const second = Math.floor(whole / 1000);
    const place = second % KEPT_SECONDS;
    if (this.seconds[place] !== second) {
      this.seconds[place] = second;
      this.secondTexts[place] = `"${new Date(1000 * second).toISOString().slice(0, -4)}`;
    }
    this.plain(this.secondTexts[place]);
    // Three digits: writes 1000 + milliseconds, then overwrites the first digit.
    const { at } = this;
    this.at = writeDecimal(1000 + whole - 1000 * second, 0, this.bytes, at - 1);
    this.bytes[at - 1] = POINT;
    this.plain('Z"');
  }

  /** Ensures free space for this many bytes plus `FIXED`. */
  private reserve(bytes: number): void {
    const needed = this.at + bytes + FIXED;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(2 * needed);
    this.bytes.copy(grown, 0, 0, this.at);
    this.bytes = grown;
  }
}

function* shorterOptions(
  { quantiles, digits }: Pick<TextOptions, 'quantiles' | 'digits'>,
  leads: number,
): Generator<{ quantiles: readonly number[]; digits: number; leads: number }> {
  const sorted = QUANTILES.filter((level) => quantiles.includes(level));
  const distance = (level: number): number => Math.abs(level - 0.5);
  const middle = sorted.reduce((best, level) => (distance(level) < distance(best) ? level : best));
  yield { quantiles, digits, leads };
  const three = sorted.filter((level, at) => level === middle || at === 0 || at === sorted.length - 1);
  if (three.length < sorted.length) yield { quantiles: three, digits, leads };
  for (let fewer = digits; fewer >= FEWEST_DIGITS; fewer--)
    yield { quantiles: [middle], digits: fewer, leads };
  for (let fewer = leads >> 1; fewer >= 1; fewer >>= 1)
    yield { quantiles: [middle], digits: Math.min(digits, FEWEST_DIGITS), leads: fewer };
}

/** The quantiles of each network are those that the message carries. */
function provenanceOf(
  { raw, corrected, own, inputsUsed }: Provenance,
  { quantiles, digits, model }: TextOptions,
): Record<string, unknown> {
  const columns = (values: Float64Array | null): Record<string, number[]> | null => {
    if (values === null || !allFinite(values)) return null;
    const shown = QUANTILES.flatMap((level, q) => (quantiles.includes(level) ? [q] : []));
    const column = (q: number): number[] =>
      Array.from({ length: values.length / Q }, (_, lead) => inDigits(values[lead * Q + q], digits));
    return Object.fromEntries(shown.map((q) => [QUANTILE_NAMES[q], column(q)]));
  };
  return {
    model_hash: model.hash ?? null,
    trained_on: model.trainedOn ?? null,
    raw: columns(raw),
    corrected: columns(corrected),
    ...(own !== null && { own: columns(own) }),
    inputs_used: inputsUsed,
  };
}

function crossingOf(crossing: Crossing): Record<string, unknown> {
  return {
    name: crossing.name,
    [crossing.side]: crossing.value,
    at: isoOrNull(crossing.atMs),
    probability: round(crossing.probability, 3),
    ...(crossing.learning === undefined ? {} : { learning: crossing.learning }),
  };
}

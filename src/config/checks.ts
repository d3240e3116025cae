/** Checks of single texts in the config. Each returns the problem, or null. */
import { isIP } from 'node:net';
import { validate } from 'node-cron';
import { GatecastError } from '../errors.ts';
import { compilePath } from '../ingest/json-path.ts';
import { isTopic, parsePattern } from '../ingest/pattern.ts';
import { OFFSET_ZONE } from '../ingest/payload-zone.ts';
import { isPoisonKey, isSafeName } from '../ingest/stream-name.ts';

export type Check = (text: string) => string | null;

const NODE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;
const SCHEMES = ['mqtt', 'mqtts', 'tcp', 'ssl', 'tls', 'ws', 'wss'];

export const checkNode: Check = (text) =>
  NODE.test(text)
    ? null
    : 'must be 1 to 63 letters, digits, "_", "-" or ".", starting with a letter or a digit';

/** Other hosts choose their ids: all characters of a topic level are allowed. */
export const checkHostId: Check = (text) =>
  text.length <= 128 && /^[^+#/\p{Cc}]+$/u.test(text)
    ? null
    : 'must be 1 to 128 characters, without "+", "#" and "/"';

export const checkBase: Check = (text) =>
  text.length <= 128 && text.split('/').every((level) => NODE.test(level))
    ? null
    : 'must be topic levels of letters, digits, "_", "-" or ".", separated by "/"';

export const checkPattern: Check = (text) => {
  try {
    parsePattern(text);
    return null;
  } catch (error) {
    return error instanceof GatecastError ? `${error.message}; ${error.hint}` : String(error);
  }
};

export const checkBrokerUrl: Check = (text) => {
  const allowed = `must be a URL such as mqtt://192.168.1.5:1883; schemes: ${SCHEMES.join(', ')}`;
  if (!URL.canParse(text)) return allowed;
  const url = new URL(text);
  if (url.username !== '' || url.password !== '')
    return 'must not contain a user name or a password; use "username" and "password_file"';
  return SCHEMES.includes(url.protocol.slice(0, -1)) && url.hostname !== '' ? null : allowed;
};

export const checkNatsUrl: Check = (text) => {
  const allowed = 'must be a URL such as nats://192.168.1.5:4222; schemes: nats, tls';
  if (!URL.canParse(text)) return allowed;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '')
    return 'must not hold a user name or a password; use "user" and "password_file"';
  return ['nats:', 'tls:'].includes(protocol) && hostname !== '' ? null : allowed;
};

/** Also a part of keys and subjects at NATS. */
export const checkSiteName: Check = (text) =>
  /^[A-Za-z0-9_-]{1,64}$/.test(text) ? null : 'must be 1 to 64 letters, digits, "_" or "-"';

export const checkFieldPath: Check = (text) => {
  const path = compilePath(text);
  if (path === null)
    return 'must be a key, or a JSON Pointer such as /ENERGY/Power with "~0" for "~" and "~1" for "/"';
  return path.flat().some((token) => isPoisonKey(typeof token === 'string' ? token : token.member))
    ? 'must not name __proto__, constructor or prototype'
    : null;
};

export const checkStreamName: Check = (text) =>
  isSafeName(text) ? null : 'must be a stream name: topic levels without "+", "#" and empty levels';

export const checkTopic: Check = (text) => (isTopic(text) ? null : 'must be a topic without "+" and "#"');

export const checkTimeZone: Check = (text) => {
  // checked without Intl, whose first use takes 8 MB
  if (text === 'local' || text === 'UTC') return null;
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return null;
  } catch {
    return 'must be `local` or a zone of the IANA database, such as Europe/Berlin or UTC';
  }
};

/** As `checkTimeZone`, or an offset such as +02:00. */
export const checkPayloadZone: Check = (text) =>
  OFFSET_ZONE.test(text) || checkTimeZone(text) === null
    ? null
    : 'must be `UTC`, `local`, a zone of the IANA database such as Europe/Berlin, or an offset such as +02:00';

/** host:port, :port or port, as parsed by `web/listen.ts`; port 0 is any free port. */
export const checkListen: Check = (text) => {
  if (text === 'off') return null;
  const found = /^(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):)?(\d{1,5})$/.exec(text);
  return found !== null && Number(found[2]) <= 65_535
    ? null
    : 'must be `off` or an address such as 127.0.0.1:8787 or [::1]:8787';
};

export const checkAddress: Check = (text) =>
  isIP(text) === 0 ? 'must be an IP address such as 127.0.0.1 or ::1' : null;

export const checkHeader: Check = (text) =>
  /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(text) ? null : 'must be the name of a header, such as X-Remote-User';

/** An origin in a content security policy; other text could inject further directives. */
export const checkOrigin: Check = (text) =>
  /^https?:\/\/[A-Za-z0-9.-]+(?::\d{1,5})?$/.test(text)
    ? null
    : 'must be an origin such as http://homeassistant.local:8123, without a path';

export const checkPageUrl: Check = (text) =>
  /^https?:\/\/[^\s/]+(?:\/\S*)?$/.test(text) && URL.canParse(text)
    ? null
    : 'must be a URL that begins with http:// or https://';

const CRON_RANGES: readonly (readonly [number, number])[] = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 7],
];

/** Five fields: minute, hour, day of month, month, day of week; numbers, lists, ranges, steps and `*`. */
export const checkCron: Check = (text) => {
  if (text === 'off') return null;
  const wrong =
    'must be `off` or five cron fields: minute, hour, day of month, month, day of week, such as "17 3 * * *"';
  const fields = text.trim().split(/\s+/);
  if (fields.length !== CRON_RANGES.length) return wrong;
  if (!fields.every((field, at) => cronField(field, ...(CRON_RANGES[at] as readonly [number, number]))))
    return wrong;
  return validate(text) ? null : 'names a date that does not exist';
};

function cronField(field: string, min: number, max: number): boolean {
  return field.split(',').every((part) => {
    const found = /^(?:(?:\*|(\d{1,2})-(\d{1,2}))(?:\/(\d{1,2}))?|(\d{1,2}))$/.exec(part);
    if (found === null) return false;
    const [, from, to, step, single] = found;
    const low = Number(from ?? single ?? min);
    const high = Number(to ?? low);
    return low >= min && high <= max && low <= high && (step === undefined || Number(step) > 0);
  });
}

/** An ed25519 public key: 32 bytes in base64, or an SPKI block in base64 or PEM. */
export const checkPublicKey: Check = (text) =>
  PUBLIC_KEYS.some((form) => form.test(text.trim()))
    ? null
    : 'must be an ed25519 public key: 32 bytes in base64, or PEM as `openssl pkey -pubout` prints it';

const PUBLIC_KEYS = [
  /^[A-Za-z0-9+/_-]{43}=?$/,
  /^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$/,
  /^-----BEGIN PUBLIC KEY-----[\s\S]{1,400}-----END PUBLIC KEY-----$/,
];

/**
 * What tells the elements of a list apart: a member that identifies them (a list of devices), a pair of members, or the name
 * that is their only key. The decision depends only on the message, so that payloads of the same form always give the same streams.
 */
import { createHash } from 'node:crypto';
import { couldBeTime } from '../series/time-stamp.ts';
import { isTimeOfDay, timeIn } from './json-times.ts';
import { isTree, memberOf, type Tree } from './json-tree.ts';
import { parseNumberWithUnit, parseSwitch } from './number-text.ts';

const MAX_IDENTITY_LENGTH = 64;

/** Members that identify an element of a list, most reliable first. */
const IDENTITY_KEYS =
  `id _id uid uuid uniqueid deviceid devid sensorid meterid nodeid channelid tagid pointid signalid serial serialnumber serialno sn mac
macaddress addr address eui deveui name devicename sensorname key tag label device dev sensor meter probe node zone room
line phase circuit channel ch port slot idx index location position pos metric parameter param variable quantity point
datapoint measurand register topic valuetype resourcename tagname pointname itemname property measurement
asset machine equipment station thing hostname host tagpath path`.split(/\s+/);
/** Members that identify only by a text; a number is a reading. */
const TEXT_KEYS: ReadonlySet<string> = new Set(IDENTITY_KEYS.slice(IDENTITY_KEYS.indexOf('resourcename')));
/** Members that name a thing, and sometimes tell its state. */
const PLACES: ReadonlySet<string> = new Set(IDENTITY_KEYS.slice(IDENTITY_KEYS.indexOf('asset')));
const STATE =
  /^(?:run(?:ning)?|stop(?:ped|ping)?|idle|stand_?by|ready|busy|(?:in)?active|ok|good|fair|poor|bad|faulty?|fail(?:ed|ure)?|error|warn(?:ing)?|unknown|(?:on|off)line|up|down|open(?:ed)?|closed?|start(?:ed|ing)?|paused?|producing|production|maintenance|setup|(?:en|dis)abled|none|(?:dis)?connected|(?:un)?available|(?:dis)?charging|heating|cooling|(?:un)?healthy)$/i;
/** Texts that identify the elements of a list, but may describe a single reading of a batch. */
const LIST_KEYS = ['signal', 'description', 'desc', 'n', 'type', 'kind'];
/** Objects about the device in an element of a list. */
const DEVICE_OBJECTS: ReadonlySet<string> = new Set(
  'device dev deviceinfo sensor meter node source tags labels metric metadata meta'.split(' '),
);
/** An element without one of these belongs to no known device; other members are often left out, such as a `name`. */
const RELIABLE_KEYS = IDENTITY_KEYS.slice(0, IDENTITY_KEYS.indexOf('name'));
/** What follows the singular of the list's name in a member that identifies, most reliable first. */
const OWN_ENDS = ['', 'id', 'name', 'index'];
/** How many of the first keys say nothing about what they identify. */
const GENERIC_KEYS = 4;
/** `id _id uid uuid` */
const GENERIC = IDENTITY_KEYS.slice(0, GENERIC_KEYS);
/** Names of an element itself. */
const ELEMENT_NAME = /^(?:uniqueid|(?:resource|tag|point|item)name)$/;
/** Members that are unique for a device. */
const DEVICE_IDS: ReadonlySet<string> = new Set([
  ...RELIABLE_KEYS.slice(GENERIC_KEYS),
  'devicename',
  'sensorname',
]);
/** Members that number the parts of a device. */
const PART_NUMBER = /^(?:channel|ch|circuit|port|slot|phase|line|idx|index)$/;
/** Members that distinguish the parts or quantities of a device. */
const PART =
  /^(?:channel|ch|circuit|port|slot|phase|line|idx|index|metric|param(?:eter)?|variable|quantity|(?:data)?point|measurand|register|property|measurement|signal|n)$/;
/** Members that describe a device, or distinguish its quantities. */
const KIND = /^(?:type|kind|valuetype|name|(?:resource|tag|point|item)name)$/;
const MAX_CANDIDATES = 32;
/** More than every rank. */
const LATE = 1000;
/** What a database numbers records with: digits, a UUID, an ObjectId, a ULID, or a hash. */
const RECORD_ID =
  /^(?:\d+|[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}|[\da-f]{24}|[\da-f]{32}|[\da-f]{40}|[\da-f]{64}|[\da-hjkmnp-tv-z]{26})$/i;

/** Whether a text is what a database or a message queue numbers records with. */
export const isRecordId = (text: string): boolean => RECORD_ID.test(text) && !/^\d+$/.test(text);

/**
 * The member that identifies the elements of a list: a text or integer under a usual key, or under the singular of the
 * list's name (`meters` -> `meter`), unique, and present in every element; the most reliable ones in most elements. null
 * without one.
 */
export function identityKey(list: readonly unknown[], listKey: string): string | null {
  const candidates = identityCandidates(list, listKey);
  return candidates.find(({ key, reliable }) => identifies(list, key, reliable))?.key ?? null;
}

/**
 * Two members that identify the elements of a list only together, such as a device and its channel; null without a pair.
 * Call only if `identityKey` finds none.
 */
export function identityPair(list: readonly unknown[], listKey: string): IdentityPair | null {
  if (list.length < 2) return null;
  for (const keys of pairsOf(list, listKey))
    if (new Set(list.map((element) => pairName(element as Tree, keys))).size === list.length) return keys;
  return null;
}

/** The only element that a pair of members gives this name, also if other elements are missing. */
export function findByPair(list: readonly unknown[], listKey: string, name: string): Tree | undefined {
  for (const keys of pairsOf(list, listKey)) {
    const found = list.filter(isTree).filter((element) => pairName(element, keys) === name);
    if (found.length === 1) return found[0];
  }
  return undefined;
}

/** The only element with this record id. */
export function findByRecordId(list: readonly unknown[], id: string): Tree | undefined {
  const found = new Set<Tree>();
  for (const element of list)
    if (isTree(element))
      visitKeys(element, (key) => {
        if (GENERIC.includes(plainOf(key)) && identityOf(memberOf(element, key)) === id) found.add(element);
      });
  return found.size === 1 ? [...found][0] : undefined;
}

/** Pairs of members that could identify, most reliable first. */
function pairsOf(list: readonly unknown[], listKey: string): IdentityPair[] {
  const keys = identityCandidates(list, listKey)
    .map(({ key }) => key)
    .filter((key) =>
      list.every((element) => isTree(element) && partOfPair(key, memberOf(element, key)) !== null),
    );
  return keys.flatMap((one, at) => keys.slice(at + 1).map((other): IdentityPair => [one, other]));
}

type IdentityPair = readonly [string, string];

/** `a-1` for the element `{"device":"a","channel":1}`; null if it lacks a member. */
export function pairName(element: Tree, [one, other]: IdentityPair): string | null {
  const first = partOfPair(one, memberOf(element, one));
  const second = partOfPair(other, memberOf(element, other));
  return first === null || second === null ? null : `${first}-${second}`;
}

function partOfPair(key: string, value: unknown): string | null {
  const plain = plainOf(key);
  return mixingIdentity(plain, value) ?? (plain.endsWith('id') ? identityOf(value) : null);
}

interface IdentityCandidate {
  readonly key: string;
  /** Up to half of the elements may lack it. */
  readonly reliable: boolean;
}

/** Members of a list's elements with a usual key, most reliable first. The order of the elements does not matter. */
function identityCandidates(list: readonly unknown[], listKey: string): IdentityCandidate[] {
  if (!list.every(isTree)) return [];
  const singular = simple(listKey).replace(/ies$/, 'y').replace(/s$/, '');
  const own = singular === '' ? [] : OWN_ENDS.map((end) => `${singular}${end}`);
  const plains = usualKeys(list, own);
  const late = lateRanks(list, plains, own);
  const mayBeReading = (key: string, plain: string): boolean =>
    (!IDENTITY_KEYS.includes(plain) || TEXT_KEYS.has(plain)) &&
    !THING_ID.test(plain) &&
    !list.every((element) => typeof memberOf(element, key) === 'string');
  const ends = [...plains].some(([key, plain]) => plain === singular && mayBeReading(key, plain))
    ? ['id', 'index', '', 'name']
    : OWN_ENDS;
  return [...plains]
    .map(([key, plain]) => {
      const usual = IDENTITY_KEYS.indexOf(plain);
      const unusual = LIST_KEYS.indexOf(plain);
      // identifiers of things come last
      let rank = usual < 0 ? IDENTITY_KEYS.length + (unusual < 0 ? LIST_KEYS.length : unusual) : usual;
      if (own.includes(plain)) rank = (1 + ends.indexOf(plain.slice(singular.length))) / 10;
      else if (mayBeReading(key, plain) || list.some((element) => isState(plain, memberOf(element, key))))
        rank = Number.NaN;
      if (
        plain === singular &&
        MEASURED.test(plain) &&
        list.some((element) => isNumber(memberOf(element, key)))
      )
        rank = Number.NaN;
      const reliable = own.includes(plain) || (usual >= 0 && usual < RELIABLE_KEYS.length);
      return { key, reliable, rank: rank + (late.get(key) ?? 0) };
    })
    .filter(({ rank }) => !Number.isNaN(rank))
    .sort((a, b) => a.rank - b.rank || a.key.length - b.key.length || (a.key < b.key ? -1 : 1));
}

/** A singular that is the reading itself: `{"values":[{"value":20},{"value":21}]}`. */
const MEASURED =
  /^(?:value|reading|measurement|sample|temp(?:erature)?|humidity|pressure|power|energy|voltage|current|level|flow|speed|price)$/;

const isNumber = (value: unknown): boolean =>
  typeof value === 'number' || (typeof value === 'string' && typeof parseNumberWithUnit(value) === 'object');

/** Keys that may identify, and their plain forms. An attacker could send very many spellings of them. */
function usualKeys(list: readonly Tree[], own: readonly string[]): ReadonlyMap<string, string> {
  const plains = new Map<string, string>();
  const seen = new Set<string>();
  const visit = (key: string): void => {
    if (seen.has(key) || plains.size >= MAX_CANDIDATES) return;
    seen.add(key);
    const plain = plainOf(key);
    if (
      IDENTITY_KEYS.includes(plain) ||
      LIST_KEYS.includes(plain) ||
      own.includes(plain) ||
      THING_ID.test(plain)
    )
      plains.set(key, plain);
  };
  for (const element of list) visitKeys(element, visit);
  return plains;
}

const plainOf = (key: string): string => simple(key.slice(key.lastIndexOf('.') + 1));

/**
 * What is added to the ranks of keys in a list of records with ids. A database may have made the ids for each reading, so
 * that a member which is unique by nature is preferred, but no other: with one more element, it could no longer identify.
 */
function lateRanks(
  list: readonly Tree[],
  plains: ReadonlyMap<string, string>,
  own: readonly string[],
): ReadonlyMap<string, number> {
  const late = new Map<string, number>();
  const isRecord = (key: string): boolean => {
    const isOther = (id: string | null): boolean => id !== null && !isRecordId(id);
    return (
      !list.some((element) => isOther(identityOf(memberOf(element, key)))) &&
      list.some((element) => identityOf(memberOf(element, key)) !== null)
    );
  };
  for (const [key, plain] of plains) if (GENERIC.includes(plain) && isRecord(key)) late.set(key, LATE);
  if (late.size === 0) return late;
  const beside = [...plains].filter(([key, plain]) =>
    list.some((element) => {
      const value = memberOf(element, key);
      return typeof value === 'string' || (PART_NUMBER.test(plain) && identityOf(value) !== null);
    }),
  );
  for (const [key, plain] of plains) {
    const hasOther = (parts: RegExp) => beside.some(([, other]) => other !== plain && parts.test(other));
    const isName = plain === 'name' || own.includes(plain);
    const isOfDevice = DEVICE_IDS.has(plain) || (key.includes('.') && (isName || GENERIC.includes(plain)));
    const isUnique = isOfDevice
      ? !hasOther(PART) && !hasOther(KIND)
      : GENERIC.includes(plain) || ELEMENT_NAME.test(plain) || (isName && !hasOther(PART));
    if (!late.has(key) && !isUnique) late.set(key, 2 * LATE);
  }
  return late;
}

/** The keys of an element, and those of the objects in it that are about its device: `device.id`. */
function visitKeys(element: Tree, visit: (key: string) => void): void {
  for (const key of Object.keys(element)) {
    visit(key);
    const value = element[key];
    if (isTree(value) && DEVICE_OBJECTS.has(simple(key)))
      for (const inner of Object.keys(value)) visit(`${key}.${inner}`);
  }
}

/**
 * The members that tell the readings of a batch apart, because a gateway sends those of several devices or quantities: the most
 * reliable text in every reading, or else identifiers of things, or else the kinds of every reading, also if all are of one kind:
 * the next message may have another. Then all tags. An integer may number the readings, and so may digits or a UUID under `id`.
 */
export function batchIdentity(rows: readonly unknown[]): readonly string[] {
  const first = rows.find(isTree);
  if (first === undefined) return [];
  const every = (has: (row: Tree) => boolean): boolean => rows.every((row) => !isTree(row) || has(row));
  let [best, rank] = [null as string | null, IDENTITY_KEYS.length];
  for (const key of Object.keys(first)) {
    const own = IDENTITY_KEYS.indexOf(simple(key));
    if (own < 0 || own >= rank) continue;
    if (!every((row) => isName(simple(key), row[key]))) continue;
    [best, rank] = [key, own];
  }
  const tags = tagsOf(rows);
  if (best !== null) return [best, ...tags];
  const having = (
    isOne: (key: string) => boolean,
    identity: (key: string, value: unknown) => string | null,
  ) =>
    Object.keys(first)
      .filter((key) => isOne(key) && every((row) => identity(key, row[key]) !== null))
      .slice(0, MAX_PARTS);
  const things = having(isDeviceNumber, (_, value) => identityOf(value));
  if (things.length > 0) return [...things, ...tags];
  return [...having(isKindOfReading, (key, value) => kindOf(simple(key), value)), ...tags];
}

/** The name that members of `batchIdentity` give a reading; null without one. A tag has its key, because another may have the same text. */
export function rowName(row: Tree, members: readonly string[]): string | null {
  const parts = members.map((key) => identityOf(row[key])).filter((part) => part !== null);
  const tags: string[] = [];
  for (const above of TAGS) {
    const all = row[above];
    // of the row, because another may have very many
    if (!Object.hasOwn(row, above) || !isTree(all)) continue;
    for (const key of Object.keys(all).sort()) {
      const part = members.includes(`${above}.${key}`) ? identityOf(all[key]) : null;
      if (part !== null) tags.push(`${key}=${part}`);
    }
  }
  const tagged = tags.join('-');
  if (tagged.length > MAX_TAGS_LENGTH)
    // a name that is too long would lose the reading
    parts.push(createHash('sha256').update(tagged).digest('hex').slice(0, 8));
  else if (tagged !== '') parts.push(tagged);
  return parts.length === 0 ? null : parts.join('-');
}

const TAGS = ['labels', 'tags'] as const;
const MAX_TAGS_LENGTH = 80;
/** The last word of tags that describe a reading or a state. */
const NO_TAG = /(?:quality|status|state|health|(?<!con)version|hash|mode|severity|reason|uptime)$/;

/** The members of `tags` or `labels` in the readings of a batch: as in the line protocol, all together name a series. */
function tagsOf(rows: readonly unknown[]): readonly string[] {
  const found = new Set<string>();
  for (const row of rows)
    if (isTree(row))
      for (const above of TAGS) {
        const tags = row[above];
        if (!Object.hasOwn(row, above) || !isTree(tags)) continue;
        for (const key of Object.keys(tags)) {
          if (found.size >= MAX_CANDIDATES || NO_TAG.test(simple(key))) continue;
          if (mixingIdentity('', tags[key]) === null) continue;
          found.add(`${above}.${key}`);
        }
      }
  return [...found].sort();
}

/**
 * The members that tell readings of one time and one name apart, although the name should: their stream would get those of several
 * devices. Empty if there are none. What may number the records says nothing.
 * @param members that name the readings
 */
export function mixedRows(rows: readonly unknown[], timeKey: string, members: readonly string[]): string[] {
  const groups = new Map<string, Tree[]>();
  const known = new KnownRows();
  for (const row of rows) {
    const time = isTree(row) ? known.time(row, timeKey) : null;
    // refused for itself
    if (!isTree(row) || time === null || time === undefined) continue;
    const key = JSON.stringify([time, rowName(row, members)]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  for (const group of groups.values()) {
    const [first] = group;
    if (first === undefined || group.length < 2) continue;
    const isRecord = (key: string): boolean =>
      GENERIC.includes(simple(key)) && group.every((row) => RECORD_ID.test(identityOf(row[key]) ?? '0'));
    const others = new Set([...members, ...Object.keys(first).filter(isRecord)]);
    let [fields, whole] = [0, false];
    for (const field of Object.keys(first)) {
      if (field === timeKey || !isReading(field, first[field])) continue;
      fields += 1;
      if (fields > MAX_PARTS) break;
      const sharing = group.filter((row) => isReading(field, row[field]));
      // the same readings need one look
      if (whole && sharing.length === group.length) continue;
      whole ||= sharing.length === group.length;
      const keys = mixingKeys(sharing, timeKey, others, known);
      if (keys.length > 0) return keys;
    }
  }
  return [];
}

/** Members whose integers number devices or records. */
const NUMBERING = /^(?:_?id|uid|unit|address|addr|register)$/;

/** Whether integers of this key may number the rows of a batch, or devices. */
export const numbersRows = (key: string): boolean => NUMBERING.test(simple(key));

/** What is computed once for each row, because a row may have very many members. */
export class KnownRows {
  private readonly times = new Map<Tree, unknown>();
  private readonly candidates = new Map<Tree, readonly Candidate[]>();

  time(row: Tree, timeKey: string): unknown {
    if (!this.times.has(row)) this.times.set(row, timeIn(row, timeKey));
    return this.times.get(row);
  }

  /** Members that may distinguish, most reliable first. */
  candidatesOf(row: Tree): readonly Candidate[] {
    let found = this.candidates.get(row);
    if (found === undefined) {
      found = Object.keys(row)
        .map((key) => ({ key, plain: simple(key) }))
        .map((one) => ({ ...one, rank: rankOf(one.plain) }))
        .filter(({ rank }) => rank < Number.POSITIVE_INFINITY)
        .sort((a, b) => a.rank - b.rank);
      this.candidates.set(row, found);
    }
    return found;
  }
}

interface Candidate {
  readonly key: string;
  readonly plain: string;
  readonly rank: number;
}

const MAX_PARTS = 8;
const isReading = (key: string, value: unknown): boolean =>
  (typeof value === 'number' || isTree(value)) && mixingIdentity(simple(key), value) === null;

/** Words under `type` or `kind` that tell why or how a reading was sent: the next one may have another. */
const NO_KIND =
  /^(?:periodic(?:al)?|event|alarm|alert|manual|auto(?:matic)?|normal|heart_?beat|report|data|measurements?|readings?|telemetry|live|real_?time|histor(?:y|ical)|buffered|scheduled|trigger(?:ed)?|interval|on_?change|change|update|uplink|status)$/i;

const kindOf = (plain: string, value: unknown): string | null =>
  typeof value === 'string' && NO_KIND.test(value.trim()) ? null : mixingIdentity(plain, value);

const KIND_OF_READING = /^(?:(?:measurement|reading|sensor)?type|kind|signal|n)$/;

/** Whether a text of this key is the kind of a reading. */
export const isKindOfReading = (key: string): boolean => KIND_OF_READING.test(simple(key));

/** Members whose texts name devices; other members may as well number or describe the readings of one device. */
const DEVICE_KEYS: ReadonlySet<string> = new Set(
  `uniqueid deviceid devid sensorid meterid nodeid serial serialnumber serialno sn mac macaddress addr eui deveui
devicename sensorname name device dev sensor meter probe node id _id uid`.split(/\s+/),
);
/** Identifiers of things, and of no message or record. */
const THING_ID = new RegExp(
  `^(?:${`device dev sensor meter node asset thing machine equipment unit slave station inverter module panel string battery bms probe tank
pump valve motor plc controller datasetwriter writer circuit channel port tag point register property component tracker truck vehicle
container turbine boiler beacon loop line phase zone room rack outlet socket breaker feeder transformer compressor fan chiller`
    .split(/\s+/)
    .join('|')})id$|^serial(?:number|no|num|nr)?$|^(?:sn|lsid)$`,
);
/** Those whose integers name devices also in a batch: parts, tested pieces and messages may be numbered one after another. */
const DEVICE_NUMBER =
  /^(?:device|dev|sensor|meter|node|machine|slave|station|inverter|plc|controller|datasetwriter|writer|circuit|channel|ls)id$|^serial(?:number|no|num|nr)?$/;
const isDeviceNumber = (key: string): boolean => DEVICE_NUMBER.test(simple(key));
const CHANNEL = /^(?:channel|ch|circuit|port|slot|phase|line|eid)$/;
/** Members that may as well identify single readings, by a number or a long random text. */
const PLAIN_ID = /^(?:_?id|uid)$/;
const MAX_DEVICE_ID_LENGTH = 16;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-/i;

/**
 * The members that tell readings of one field apart which belong to several devices: those that name devices, and others that
 * differ between readings of the same time, in a batch with times also their kind. Empty if all readings can be of one device.
 * @param timeKey null: all have the same time
 * @param fields members that are readings
 * @param known of one payload and time key
 */
export function mixingKeys(
  rows: readonly Tree[],
  timeKey: string | null,
  fields: ReadonlySet<string> = new Set(),
  known = new KnownRows(),
): string[] {
  const [first] = rows;
  if (first === undefined || rows.length < 2) return [];
  const candidates = known
    .candidatesOf(first)
    .filter(({ key, rank }) => key !== timeKey && !fields.has(key) && (timeKey !== null || rank < LATE))
    .slice(0, MAX_CANDIDATES);
  const keys: string[] = [];
  const groupOf = (row: Tree): string =>
    JSON.stringify([timeKey === null ? null : known.time(row, timeKey), ...keys.map((key) => row[key])]);
  for (const sure of [true, false])
    for (const { key, plain } of candidates) {
      if (keys.includes(key) || (sure && !DEVICE_KEYS.has(plain))) continue;
      const anyTime = sure && keys.length === 0;
      const groups = new Map<string, string>();
      const differs = rows.some((row) => {
        const identity = mixingIdentity(plain, row[key]);
        if (identity === null || (anyTime && !namesDevice(plain, identity))) return false;
        const group = anyTime ? '' : groupOf(row);
        const other = groups.get(group) ?? identity;
        groups.set(group, other);
        return other !== identity;
      });
      if (differs) keys.push(key);
    }
  return keys;
}

/** A kind comes after all other members. */
const rankOf = (plain: string): number => {
  const known = IDENTITY_KEYS.indexOf(plain);
  return known >= 0 ? known : KIND_OF_READING.test(plain) ? LATE : Number.POSITIVE_INFINITY;
};

const namesDevice = (plain: string, identity: string): boolean =>
  !PLAIN_ID.test(plain) || (/[a-z]/i.test(identity) && identity.length <= MAX_DEVICE_ID_LENGTH);

/** The identity of a device or quantity; null for what may be a number or state of a reading. */
function mixingIdentity(plain: string, value: unknown): string | null {
  if (typeof value === 'number')
    return DEVICE_NUMBER.test(plain) || CHANNEL.test(plain) ? identityOf(value) : null;
  if (typeof value !== 'string' || parseSwitch(value) !== null || UUID.test(value) || isState(plain, value))
    return null;
  return !/[a-z_]/i.test(value) && !/id$|^serial|^sn$|^mac|eui$|^addr$/.test(plain) && !CHANNEL.test(plain)
    ? null
    : identityOf(value);
}

const isName = (plain: string, value: unknown): boolean =>
  typeof value === 'string' &&
  identityOf(value) !== null &&
  !isState(plain, value) &&
  !(GENERIC.includes(plain) && RECORD_ID.test(value.trim()));

const isState = (plain: string, value: unknown): boolean =>
  PLACES.has(plain) && typeof value === 'string' && (STATE.test(value.trim()) || NO_KIND.test(value.trim()));

const simple = (key: string): string =>
  key
    .toLowerCase()
    .replace(/[\s-]|_(?!id$)/g, '')
    .replace(/^(.+)_id$/, '$1id');

/** Whether members of this key usually identify a device. */
export const isIdentityKey = (key: string): boolean => {
  const plain = simple(key);
  return plain.endsWith('id') || RELIABLE_KEYS.includes(plain);
};

/** @param reliable up to half of the elements may lack the member */
function identifies(list: readonly unknown[], key: string, reliable: boolean): boolean {
  const seen = new Set<string>();
  for (const element of list) {
    if (!isTree(element)) return false;
    const identity = identityOf(memberOf(element, key));
    if (identity === null && reliable) continue;
    if (identity === null || seen.has(identity)) return false;
    seen.add(identity);
  }
  return 2 * seen.size >= list.length;
}

/** The text of a value that can be an identifier: a short text, an integer or a boolean; otherwise null. */
export function identityOf(value: unknown): string | null {
  if (typeof value === 'string') {
    const text = value.trim();
    return text === '' || text.length > MAX_IDENTITY_LENGTH ? null : text;
  }
  return (typeof value === 'number' && Number.isSafeInteger(value)) || typeof value === 'boolean'
    ? String(value)
    : null;
}

/**
 * A list whose elements are named by their only key, or by the text before the value, as an object: `[{"kitchen":20},{"bath":10}]`,
 * `[["t",20,"°C"],["h",50,"%"]]`; null if it is none.
 * @param fewest elements with keys; one alone may as well be the first of an unnamed list
 */
export function namedElements(list: readonly unknown[], fewest = 2): Tree | null {
  const named = new Map<string, unknown>();
  for (const element of list) {
    const [first, ...more] = Array.isArray(element)
      ? isNamedRow(element)
        ? [element]
        : []
      : isTree(element)
        ? Object.entries(element)
        : [];
    const [name, value] = first ?? [];
    const isNamed = typeof name === 'string' && isStableName(name);
    if (!isNamed || value === undefined || more.length > 0 || named.has(name)) return null;
    named.set(name, value);
  }
  const enough = named.size > 0 && (named.size >= fewest || list.every((element) => Array.isArray(element)));
  return enough ? Object.fromEntries(named) : null;
}

/** Whether the next message may have the same name: a number, a time or the id of a record would be another one. */
const isStableName = (name: string): boolean =>
  identityOf(name) !== null &&
  Number.isNaN(Number(name)) &&
  !isRecordId(name) &&
  !isTimeOfDay(name) &&
  couldBeTime(name) === null;

/** A name (with a letter) and a value, perhaps with a unit. */
function isNamedRow([name, , unit = null, ...more]: readonly unknown[]): boolean {
  const isRest =
    unit === null || (typeof unit === 'string' && NO_NUMBER.test(unit) && parseSwitch(unit) === null);
  return typeof name === 'string' && /\p{L}/u.test(name) && isRest && more.length === 0;
}

const NO_NUMBER = /^(?!\s*[\d+\-\u2212.,])/;

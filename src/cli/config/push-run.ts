/**
 * Sends a push and follows what the gateways report of it. A push to one gateway, or to a whole fleet, is one retained
 * message. A rollout in steps delivers the same signed message of the fleet on the topics of single gateways, and leaves it
 * on the fleet's topic at the end: every gateway has one version in one layer, whenever it got it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { errorText, GatecastError } from '../../errors.ts';
import type { Incoming } from '../../mqtt/connection.ts';
import { topicsOf } from '../../mqtt/topics.ts';
import {
  type Claims,
  type LayerName,
  MAX_PUSH_BYTES,
  modelClaimSchema,
  type Reported,
} from '../../remote/contract.ts';
import { modelClaim } from '../../remote/model-claim.ts';
import { type Signer, sign } from '../../remote/sign.ts';
import { writeFileAtomic } from '../../system/files.ts';
import type { Link } from '../shared/broker.ts';
import { type ClaimFlags, type Content, claimsOf } from './content.ts';
import { append, type HistoryEntry, ofTarget, type Pushed, readHistory } from './history-file.ts';
import type { OperatorFolder, Target } from './operator.ts';
import {
  dryOutcomeOf,
  isFailure,
  isFinal,
  type NodeState,
  outcomeOf,
  parseReported,
  type Sought,
} from './outcome.ts';
import { ModelSender, type PushedModel, readPushedModel } from './push-model.ts';
import { type AbortLimit, canaryCount, type Rate, Rollout, type RolloutPlan } from './rollout.ts';

export interface PushRequest {
  readonly base: string;
  readonly target: Target;
  readonly content: Content;
  /** The files of the model in `content`; null: it holds none. */
  readonly model: PushedModel | null;
  /** How fast chunks of the model are sent, to all gateways together. */
  readonly bytesPerSecond: number;
  readonly claims: ClaimFlags;
  readonly signer: Signer;
  readonly folder: OperatorFolder;
  readonly dryRun: boolean;
  /** Share of the fleet; null: no canaries. */
  readonly canary: number | null;
  readonly rate: Rate | null;
  readonly abortAfter: AbortLimit;
  /** Members of the fleet; null: those that answer. */
  readonly nodes: readonly string[] | null;
  /** How long a gateway may take to answer, ms. */
  readonly waitMs: number;
}

export interface PushIo {
  readonly connect: (message: (message: Incoming) => void) => Promise<Link>;
  readonly show: (states: readonly NodeState[], title: string) => void;
  readonly now: () => number;
  /** Set by Ctrl-C. */
  readonly stopped: () => boolean;
}

export interface PushResult {
  readonly id: string;
  readonly version: number;
  readonly kid: string;
  readonly token: string;
  readonly dryRun: boolean;
  readonly result: 'applied' | 'failed' | 'aborted' | 'stopped';
  readonly nodes: readonly NodeState[];
}

const LOOK_MS = 50;
/** The answers to a dry run of a fleet are complete when no further one came for so long, ms. */
const QUIET_MS = 2000;
/** Added to probation: applying, and the way of the messages, ms. */
const MARGIN_MS = 60_000;
/** The probation of a model may take so many times its length, until enough forecasts have met their readings. */
const MODEL_PATIENCE = 3;

const stateSchema = z.object({
  node: z.string(),
  status: z.enum([
    'waiting',
    'sent',
    'applying',
    'probation',
    'applied',
    'rejected',
    'rolled_back',
    'no answer',
  ]),
  version: z.number().nullable(),
  code: z.number().nullable(),
  reason: z.string(),
});
/** How far a rollout got. */
const rolloutFileSchema = z.object({
  id: z.string(),
  base: z.string(),
  target: z.object({ kind: z.enum(['node', 'fleet']), name: z.string() }),
  kid: z.string(),
  version: z.number(),
  token: z.string(),
  jws: z.string(),
  plan: z.object({
    nodes: z.array(z.string()),
    canaries: z.number(),
    rate: z.object({ count: z.number(), periodMs: z.number() }).nullable(),
    abortAfter: z.union([
      z.object({ kind: z.literal('count'), failures: z.number() }),
      z.object({ kind: z.literal('share'), share: z.number() }),
    ]),
    answerMs: z.number(),
    finishMs: z.number(),
  }),
  states: z.array(stateSchema),
  /** Where the files of its model are; null: it has none. */
  model: z
    .object({ path: z.string(), claim: modelClaimSchema, bytesPerSecond: z.number() })
    .nullable()
    .default(null),
  /** Known members that did not answer before it began. */
  absent: z.array(stateSchema),
  ended: z.boolean(),
});
type RolloutFile = z.infer<typeof rolloutFileSchema>;

/** Reports by node, as they come. */
class Reports {
  readonly latest = new Map<string, Reported>();
  heard: (node: string, reported: Reported) => void = () => {};
  /** Other messages. */
  other: (message: Pick<Incoming, 'topic' | 'payload'>) => void = () => {};

  constructor(private readonly base: string) {}

  receive({ topic, payload }: Pick<Incoming, 'topic' | 'payload'>): void {
    const rest = topic.startsWith(`${this.base}/`) ? topic.slice(this.base.length + 1).split('/') : [];
    const [node = '', ...tail] = rest;
    if (tail.join('/') !== 'config/reported') {
      this.other({ topic, payload });
      return;
    }
    const reported = parseReported(payload);
    if (reported === null) return;
    if (reported.dry_run !== true) this.latest.set(node, reported);
    this.heard(node, reported);
  }
}

/** Reads the reports that the broker has kept. */
export async function readReports(
  base: string,
  node: string | null,
  connect: PushIo['connect'],
): Promise<{ link: Link; reports: Reports }> {
  const reports = new Reports(base);
  const link = await connect((message) => reports.receive(message));
  await link.subscribe([node === null ? `${base}/+/config/reported` : topicsOf(base, node).configReported]);
  await link.settled();
  await pause(200);
  return { link, reports };
}

/** @throws GatecastError BROKER_UNREACHABLE, USAGE, FILE_UNWRITABLE */
export async function push(request: PushRequest, io: PushIo): Promise<PushResult> {
  const { base, target, content, claims: flags, signer, folder, dryRun } = request;
  const history = readHistory(folder.history);
  const { link, reports } = await readReports(base, target.kind === 'node' ? target.name : null, io.connect);
  try {
    const version = flags.version ?? nextVersion(signer.kid, history, reports.latest.values());
    const stamp = { base, target, version, nowMs: io.now() };
    const claims = claimsOf(content, flags, { ...stamp, dryRun: false });
    // The same token in both, so that a report of either is known.
    const dry = claimsOf(
      content,
      { ...flags, token: `${claims.token?.slice(0, 240)}-dry-run` },
      { ...stamp, dryRun: true },
    );
    const jws = await signed(claims, signer);
    let tried: readonly NodeState[] = [];
    if (dryRun || target.kind === 'fleet') {
      const members = request.nodes ?? knownMembers(target, reports.latest, ofTarget(history, base, target));
      tried = await dryRunOf(await signed(dry, signer), dry, { request, io, link, reports, members });
      const refused = tried.filter(({ status }) => status === 'rejected');
      const result = {
        id: '',
        version,
        kid: signer.kid,
        token: claims.token ?? '',
        dryRun: true,
        nodes: tried,
      };
      if (dryRun || refused.length > 0 || tried.every(({ status }) => status === 'no answer'))
        return {
          ...result,
          result: dryRun && tried.every(({ status }) => status === 'applied') ? 'applied' : 'failed',
        };
    }
    const present =
      target.kind === 'node'
        ? [target.name]
        : tried.filter(({ status }) => status !== 'no answer').map(({ node }) => node);
    const id = `${new Date(io.now()).toISOString().replaceAll(/[-:]/g, '').slice(0, 15)}-${version}`;
    const file: RolloutFile = {
      id,
      base,
      target: { ...target },
      kid: signer.kid,
      version,
      token: claims.token ?? '',
      jws,
      plan: {
        nodes: present,
        canaries: canaryCount(request.canary, present.length),
        rate: request.rate,
        abortAfter: request.abortAfter,
        answerMs: request.waitMs,
        finishMs: (content.model === undefined ? 1 : MODEL_PATIENCE) * flags.probation + MARGIN_MS,
      },
      states: [],
      model:
        content.model === undefined || request.model === null
          ? null
          : { path: request.model.path, claim: content.model, bytesPerSecond: request.bytesPerSecond },
      absent: tried.filter(({ status }) => status === 'no answer'),
      ended: false,
    };
    const pushed: Pushed = {
      id,
      at: new Date(io.now()).toISOString(),
      base,
      target: { ...target },
      kid: signer.kid,
      version,
      token: file.token,
      content: historyContent(content),
    };
    // Before it is sent: a version is never used twice, whatever happens now.
    append(folder.history, pushed);
    save(folder, file);
    return await roll(file, request.model, { folder, io, link, reports });
  } finally {
    await link.close();
  }
}

/** Goes on with an interrupted rollout. @throws GatecastError USAGE where there is none, BROKER_UNREACHABLE */
export async function resume(id: string | null, folder: OperatorFolder, io: PushIo): Promise<PushResult> {
  const file = load(folder, id);
  const model = file.model === null ? null : await readPushedModel(file.model.path);
  const { link, reports } = await readReports(
    file.base,
    file.target.kind === 'node' ? file.target.name : null,
    io.connect,
  );
  try {
    return await roll(file, model, { folder, io, link, reports });
  } finally {
    await link.close();
  }
}

interface Rolling {
  readonly folder: OperatorFolder;
  readonly io: PushIo;
  readonly link: Link;
  readonly reports: Reports;
}

/** @throws GatecastError USAGE where the files of the model are not those that were signed */
async function senderOf(
  { base, model }: RolloutFile,
  files: PushedModel | null,
  { io, link }: Rolling,
): Promise<ModelSender | null> {
  if (model === null || files === null) return null;
  const signed = await modelClaim(model.claim.name, files.files, model.claim.source, async () => ({
    golden: [],
  }));
  if (JSON.stringify(signed.files) !== JSON.stringify(model.claim.files))
    throw new GatecastError('USAGE', `${files.path} has changed since the push was signed`, {
      hint: 'push it again without --resume',
    });
  if (model.claim.source !== 'mqtt') return null;
  const sender = new ModelSender(base, model.claim, files.files, model.bytesPerSecond, io.now());
  await link.subscribe([sender.filter]);
  return sender;
}

async function roll(file: RolloutFile, model: PushedModel | null, rolling: Rolling): Promise<PushResult> {
  const { folder, io, link, reports } = rolling;
  const { base, target, jws, kid, version, token } = file;
  const plan: RolloutPlan = file.plan;
  const layer: LayerName = target.kind === 'node' ? 'node' : `fleet:${target.name}`;
  const sought: Sought = { kid, version, token, layer };
  const rollout = new Rollout(plan, file.states, io.now());
  const title = `version ${version} to ${target.kind === 'node' ? target.name : `fleet ${target.name}`}`;
  const desired =
    target.kind === 'node'
      ? topicsOf(base, target.name).configDesired
      : topicsOf(base, 'any').fleetConfigDesired(target.name);
  const hear = (node: string, reported: Reported): void => {
    const said = outcomeOf(reported, sought);
    if (said === null) return;
    rollout.report(node, said);
    if (reported.transfer != null) rollout.alive(node, io.now());
  };
  for (const [node, reported] of reports.latest) hear(node, reported);
  reports.heard = hear;
  const sender = await senderOf(file, model, rolling);
  reports.other = ({ topic, payload }) => {
    const node = sender?.heard(topic, payload, io.now()) ?? null;
    if (node !== null) rollout.alive(node, io.now());
  };
  let shown = '';
  const keep = (): void => {
    const states = rollout.states;
    const text = JSON.stringify(states);
    if (text === shown) return;
    shown = text;
    save(folder, { ...file, states });
    io.show(states, `${title}: ${rollout.stage}`);
  };
  const underWay = (): boolean =>
    rollout.states.some(({ status }) => status !== 'waiting' && !isFinal(status));
  keep();
  for (;;) {
    const nodes = rollout.due(io.now());
    // One message for all, where nobody is to be left out.
    if (nodes.length > 0 && (rollout.stage === 'others' || plan.canaries === 0) && plan.rate === null)
      await link.publish({ topic: desired, payload: jws, qos: 1, retain: true });
    else
      for (const node of nodes)
        await link.publish({
          topic: topicsOf(base, node).configDesired,
          payload: jws,
          qos: 1,
          retain: false,
        });
    keep();
    const { stage } = rollout;
    if (stage === 'done' || (stage === 'aborted' && !underWay()) || io.stopped()) break;
    await sender?.send(link, io.now);
    // So that a lost connection is noticed also while all are on probation.
    await link.settled();
    await pause(LOOK_MS);
  }
  keep();
  const states = [...rollout.states, ...file.absent];
  const { stage } = rollout;
  const result =
    stage === 'aborted'
      ? 'aborted'
      : stage !== 'done'
        ? 'stopped'
        : states.some(({ status }) => isFailure(status))
          ? 'failed'
          : 'applied';
  if (
    stage === 'done' &&
    target.kind === 'fleet' &&
    (plan.rate !== null || plan.canaries >= plan.nodes.length)
  )
    // For those that were away, and for those that join the group later.
    await link.publish({ topic: desired, payload: jws, qos: 1, retain: true });
  if (result !== 'stopped') {
    save(folder, { ...file, states: rollout.states, ended: true });
    const nodes = Object.fromEntries(states.map(({ node, status }) => [node, status]));
    append(folder.history, { id: file.id, ended: new Date(io.now()).toISOString(), result, nodes });
  }
  return { id: file.id, version, kid, token, dryRun: false, result, nodes: states };
}

interface DryRun {
  readonly request: PushRequest;
  readonly io: PushIo;
  readonly link: Link;
  readonly reports: Reports;
  /** From whom an answer is expected. */
  readonly members: readonly string[];
}

/** Asks the gateways to validate the push without applying it; the members of a fleet are found out by this. */
async function dryRunOf(jws: string, { token = '' }: Claims, parts: DryRun): Promise<NodeState[]> {
  const { request, io, link, reports, members } = parts;
  const { base, target, nodes } = request;
  const answers = new Map<string, NodeState>();
  let lastMs = io.now();
  const startMs = lastMs;
  reports.heard = (node, reported) => {
    const said = dryOutcomeOf(reported, token);
    if (said === null || (nodes !== null && !nodes.includes(node))) return;
    lastMs = io.now();
    answers.set(node, { node, ...said });
    io.show([...answers.values()], 'dry run');
  };
  const topic =
    target.kind === 'node'
      ? topicsOf(base, target.name).configDesired
      : topicsOf(base, 'any').fleetConfigDesired(target.name);
  await link.publish({ topic, payload: jws, qos: 1, retain: false });
  const expected = target.kind === 'node' ? [target.name] : members;
  const complete = (): boolean => {
    const all = expected.every((node) => answers.has(node));
    if (target.kind === 'node' || nodes !== null) return all;
    return all && answers.size > 0 && io.now() - lastMs >= QUIET_MS;
  };
  while (!complete() && io.now() - startMs < request.waitMs && !io.stopped()) {
    await link.settled();
    await pause(LOOK_MS);
  }
  reports.heard = () => {};
  const missing = expected.filter((node) => !answers.has(node));
  const reason = 'has not answered the dry run; it takes a retained push when it is there again';
  return [
    ...[...answers.values()].sort((a, b) => (a.node < b.node ? -1 : 1)),
    ...missing.map((node): NodeState => ({ node, status: 'no answer', version: null, code: null, reason })),
  ];
}

/** Members of a fleet from earlier pushes: what gateways report, and what was pushed from here. */
function knownMembers(
  { name }: Target,
  latest: ReadonlyMap<string, Reported>,
  history: readonly HistoryEntry[],
): string[] {
  const layer = `fleet:${name}`;
  const reporting = [...latest].filter(
    ([, reported]) => reported.layer === layer || reported.history.some((one) => one.layer === layer),
  );
  const newest = history.filter(({ outcome }) => outcome !== null).at(-1)?.outcome?.nodes ?? {};
  return [...new Set([...reporting.map(([node]) => node), ...Object.keys(newest)])].sort();
}

/** What the history keeps of a push: of a model its name. */
function historyContent({ model, ...content }: Content): Pushed['content'] {
  return { ...content, ...(model !== undefined && { model: { name: model.name } }) };
}

/** One above every version of this key that was pushed from here or that a gateway reports. */
export function nextVersion(
  kid: string,
  history: readonly HistoryEntry[],
  reports: Iterable<Reported>,
): number {
  let highest = 0;
  const see = (one: { readonly kid: string | null; readonly version: number | null }): void => {
    if (one.kid === kid) highest = Math.max(highest, one.version ?? 0);
  };
  for (const entry of history) see(entry);
  for (const reported of reports)
    for (const one of [reported, reported.last_good, ...reported.history]) see(one);
  return highest + 1;
}

/** @throws GatecastError USAGE where it is too large */
async function signed(claims: Claims, signer: Signer): Promise<string> {
  const jws = await sign(claims, signer);
  if (jws.length > MAX_PUSH_BYTES)
    throw new GatecastError('USAGE', `the push has ${jws.length} bytes; at most ${MAX_PUSH_BYTES} are taken`);
  return jws;
}

const ROLLOUT_ENDING = '.json';

function save({ rollouts }: OperatorFolder, file: RolloutFile): void {
  writeFileAtomic(join(rollouts, `${file.id}${ROLLOUT_ENDING}`), `${JSON.stringify(file, null, 1)}\n`, 0o600);
}

function load({ rollouts }: OperatorFolder, id: string | null): RolloutFile {
  let names: string[];
  try {
    names = readdirSync(rollouts)
      .filter((name) => name.endsWith(ROLLOUT_ENDING))
      .sort();
  } catch {
    names = [];
  }
  const wanted = id === null ? names : names.filter((name) => name === `${id}${ROLLOUT_ENDING}`);
  for (const name of wanted.reverse()) {
    const path = join(rollouts, name);
    try {
      const file = rolloutFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
      if (!file.ended) return file;
    } catch (cause) {
      throw new GatecastError('FILE_UNREADABLE', `${path}: ${errorText(cause)}`, { cause });
    }
  }
  throw new GatecastError('USAGE', 'there is no unfinished push to go on with', {
    hint: '`gatecast config history` lists the pushes from here',
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

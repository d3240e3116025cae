/**
 * Sends a push and follows the reports of the gateways. A push to one gateway, or to a whole fleet, is one retained message. A
 * rollout in steps sends the fleet's signed message to single gateways first, and at the end to the fleet's topic. So every
 * gateway has the same version in the same layer, no matter when it received it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parseDuration } from '../../config/units.ts';
import { GatecastError } from '../../errors.ts';
import type { Incoming } from '../../mqtt/connection.ts';
import { topicsOf } from '../../mqtt/topics.ts';
import {
  type Claims,
  DEFAULT_PROBATION,
  type LayerName,
  MAX_PUSH_BYTES,
  type Reported,
} from '../../remote/contract.ts';
import { modelClaim } from '../../remote/model-claim.ts';
import { PATIENCE } from '../../remote/probation.ts';
import { type Signer, sign } from '../../remote/sign.ts';
import type { LastingLink } from '../shared/lasting-link.ts';
import { type ClaimFlags, claimsOf, type PushContent } from './content.ts';
import { dryRunOf, knownMembers } from './dry-run.ts';
import { append, type HistoryEntry, ofTarget, type Pushed, readHistory } from './history-file.ts';
import { desiredTopic, type OperatorFolder, type Target, targetText } from './operator.ts';
import { isFailure, isFinal, type NodeState, outcomeOf, type PushKey } from './outcome.ts';
import { ModelSender, type PushedModel, readPushedModel } from './push-model.ts';
import { type GatewayReports, readReports } from './reports.ts';
import { type AbortLimit, canaryCount, type Rate, Rollout } from './rollout.ts';
import { loadRollout, type RolloutFile, saveRollout } from './rollout-file.ts';

/** How gateways get a push. */
export interface Delivery {
  /** The files of the model; null: there is none. */
  readonly model: PushedModel | null;
  /** Rate at which chunks of the model are sent, for all gateways together. */
  readonly bytesPerSecond: number;
  readonly folder: OperatorFolder;
  /** Share of the fleet; null: no canaries. */
  readonly canary: number | null;
  readonly rate: Rate | null;
  readonly abortAfter: AbortLimit;
  /** Members of the fleet; null: those that answer. */
  readonly nodes: readonly string[] | null;
  /** How long a gateway may take to answer, ms. */
  readonly waitMs: number;
}

interface PushRequest extends Delivery {
  readonly base: string;
  readonly target: Target;
  readonly content: PushContent;
  readonly claims: ClaimFlags;
  readonly signer: Signer;
  readonly dryRun: boolean;
}

export interface PushIo {
  readonly connect: (message: (message: Incoming) => void) => Promise<LastingLink>;
  readonly show: (states: readonly NodeState[], title: string) => void;
  /** A gateway's report has changed its state; the next may come before `show`. */
  readonly changed: (state: NodeState) => void;
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
/** Time for applying the config and for the messages, added to probation, ms. */
const MARGIN_MS = 60_000;

/** A push that is already signed, here or on another machine. */
export interface SignedPush {
  readonly base: string;
  readonly target: Target;
  readonly kid: string;
  readonly claims: Claims;
  readonly jws: string;
}

/** Connects, and reads the reports of the gateways that a push is for. */
async function withReports(
  { base, target }: Pick<SignedPush, 'base' | 'target'>,
  folder: OperatorFolder,
  io: PushIo,
  action: (rolling: Rolling) => Promise<PushResult>,
): Promise<PushResult> {
  const { link, reports } = await readReports(base, target.kind === 'node' ? target.name : null, io.connect);
  try {
    return await action({ folder, io, link, reports });
  } finally {
    await link.close();
  }
}

/** @throws GatecastError BROKER_UNREACHABLE, USAGE, FILE_UNWRITABLE */
export function push(request: PushRequest, io: PushIo): Promise<PushResult> {
  const { base, target, content, claims: flags, signer, folder, dryRun } = request;
  const history = readHistory(folder.history);
  return withReports(request, folder, io, async (rolling) => {
    const version = flags.version ?? nextVersion(signer.kid, history, rolling.reports.latest.values());
    const stamp = { base, target, version, nowMs: io.now() };
    const claims = claimsOf(content, flags, { ...stamp, dryRun: false });
    const pushed = { base, target, kid: signer.kid, claims, jws: await signed(claims, signer) };
    // Its token is derived from that of the push, so that reports of both are recognised.
    const dry = claimsOf(
      content,
      { ...flags, token: `${claims.token?.slice(0, 240)}-dry-run` },
      { ...stamp, dryRun: true },
    );
    let tried: readonly NodeState[] = [];
    if (dryRun || target.kind === 'fleet') {
      const jws = await signed(dry, signer);
      tried = await tryOut({ ...pushed, claims: dry, jws }, request, rolling);
      const refused = tried.some(({ status }) => status === 'rejected');
      if (dryRun || refused || tried.every(({ status }) => status === 'no answer'))
        return dryResult(pushed, tried, dryRun);
    }
    return deliver(pushed, request, tried, rolling);
  });
}

/** Sends a signed push. It is not tried out first, because a dry run would need the key. @throws GatecastError as `push` */
export function sendSigned(pushed: SignedPush, delivery: Delivery, io: PushIo): Promise<PushResult> {
  const { target, claims } = pushed;
  return withReports(pushed, delivery.folder, io, async (rolling) => {
    if (claims.dry_run === true) return dryResult(pushed, await tryOut(pushed, delivery, rolling), true);
    const members = target.kind === 'node' ? [] : membersOf(pushed, delivery, rolling);
    if (target.kind === 'fleet' && members.length === 0)
      throw new GatecastError('USAGE', `this machine knows no gateway of the fleet ${target.name}`, {
        hint: 'name them with --nodes',
      });
    return deliver(pushed, { ...delivery, nodes: members }, [], rolling);
  });
}

function membersOf(
  { base, target }: SignedPush,
  { nodes }: Delivery,
  { folder, reports }: Rolling,
): readonly string[] {
  return nodes ?? knownMembers(target, reports.latest, ofTarget(readHistory(folder.history), base, target));
}

/** Sends a dry run. */
function tryOut(dry: SignedPush, delivery: Delivery, rolling: Rolling): Promise<NodeState[]> {
  return dryRunOf(dry, delivery, rolling, membersOf(dry, delivery, rolling));
}

function dryResult({ kid, claims }: SignedPush, nodes: readonly NodeState[], wanted: boolean): PushResult {
  const { version, token = '' } = claims;
  const applied = wanted && nodes.every(({ status }) => status === 'applied');
  return { id: '', version, kid, token, dryRun: true, nodes, result: applied ? 'applied' : 'failed' };
}

/** @param tried answers to a dry run; those who answered are the fleet */
async function deliver(
  { base, target, kid, claims, jws }: SignedPush,
  { model, bytesPerSecond, folder, canary, rate, abortAfter, nodes, waitMs }: Delivery,
  tried: readonly NodeState[],
  rolling: Rolling,
): Promise<PushResult> {
  const { io } = rolling;
  const { version, token = '', config, patch, rollback } = claims;
  const probationMs = parseDuration(claims.probation ?? DEFAULT_PROBATION) ?? 0;
  const answered = tried.filter(({ status }) => status !== 'no answer').map(({ node }) => node);
  const present = target.kind === 'node' ? [target.name] : tried.length > 0 ? answered : (nodes ?? []);
  const id = `${new Date(io.now()).toISOString().replaceAll(/[-:]/g, '').slice(0, 15)}-${version}`;
  const push = { id, base, target: { ...target }, kid, version, token };
  const file: RolloutFile = {
    ...push,
    jws,
    plan: {
      nodes: [...present],
      canaries: canaryCount(canary, present.length),
      rate,
      abortAfter,
      answerMs: waitMs,
      finishMs: PATIENCE * probationMs + MARGIN_MS,
    },
    states: [],
    model:
      claims.model === undefined || model === null
        ? null
        : { path: model.path, claim: claims.model, bytesPerSecond },
    absent: tried.filter(({ status }) => status === 'no answer'),
    ended: false,
  };
  const pushed: Pushed = {
    ...push,
    at: new Date(io.now()).toISOString(),
    content: historyContent({ config, patch, rollback, model: claims.model }),
  };
  // Written before sending, so that no version is used twice.
  append(folder.history, pushed);
  saveRollout(folder, file);
  return roll(file, model, rolling);
}

/** Resumes an interrupted rollout. @throws GatecastError USAGE if there is none, BROKER_UNREACHABLE */
export async function resume(id: string | null, folder: OperatorFolder, io: PushIo): Promise<PushResult> {
  const file = loadRollout(folder, id);
  const model = file.model === null ? null : await readPushedModel(file.model.path);
  return withReports(file, folder, io, (rolling) => roll(file, model, rolling));
}

export interface Rolling {
  readonly folder: OperatorFolder;
  readonly io: PushIo;
  readonly link: LastingLink;
  readonly reports: GatewayReports;
}

/** @throws GatecastError USAGE if the files of the model are not the signed ones */
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
  const sender = new ModelSender(
    base,
    model.claim,
    files.files,
    model.bytesPerSecond,
    io.now() - link.awayMs,
  );
  await link.subscribe([sender.filter]);
  return sender;
}

async function roll(file: RolloutFile, model: PushedModel | null, rolling: Rolling): Promise<PushResult> {
  const { folder, io, link, reports } = rolling;
  const { base, target, jws, kid, version, token, plan } = file;
  const layer: LayerName = target.kind === 'node' ? 'node' : `fleet:${target.name}`;
  const sought: PushKey = { kid, version, token, layer };
  /** Stops while there is no connection: only a gateway's own silence counts against it. */
  const clockMs = (): number => io.now() - link.awayMs;
  const rollout = new Rollout(plan, file.states, clockMs());
  const title = `version ${version} to ${targetText(target)}`;
  const desired = desiredTopic(base, target);
  /** Bytes of the model that a node has received: a node without progress counts as failed. */
  const received = new Map<string, number>();
  const hear = (node: string, reported: Reported): void => {
    const said = outcomeOf(reported, sought);
    if (said === null) return;
    if (rollout.report(node, said)) io.changed({ node, ...said });
    const { transfer } = reported;
    if (transfer == null || transfer.received <= (received.get(node) ?? -1)) return;
    received.set(node, transfer.received);
    rollout.alive(node, clockMs());
  };
  for (const [node, reported] of reports.latest) hear(node, reported);
  reports.heard = hear;
  const sender = await senderOf(file, model, rolling);
  reports.other = ({ topic, payload }) => {
    const node = sender?.heard(topic, payload, clockMs()) ?? null;
    if (node !== null) rollout.alive(node, clockMs());
  };
  let shown = '';
  const keep = (): void => {
    const states = rollout.states;
    const text = JSON.stringify(states);
    if (text === shown) return;
    shown = text;
    saveRollout(folder, { ...file, states });
    io.show(states, `${title}: ${rollout.stage}`);
  };
  const underWay = (): boolean =>
    rollout.states.some(({ status }) => status !== 'waiting' && !isFinal(status));
  keep();
  const send = (topic: string, retain: boolean): Promise<void> =>
    link.publish({ topic, payload: jws, qos: 1, retain });
  /** Sends and waits until the rollout has ended, or the operator stops it. */
  const proceed = async (): Promise<void> => {
    for (;;) {
      const nodes = rollout.due(clockMs());
      // One message for the whole fleet, if nobody is left out.
      if (nodes.length > 0 && (rollout.stage === 'others' || plan.canaries === 0) && plan.rate === null)
        await send(desired, true);
      else for (const node of nodes) await send(topicsOf(base, node).configDesired, false);
      keep();
      const { stage } = rollout;
      if (stage === 'done' || (stage === 'aborted' && !underWay()) || io.stopped()) return;
      await sender?.send(link, clockMs);
      // Detects a lost connection while all gateways are on probation.
      await link.settled();
      await pause(LOOK_MS);
    }
  };
  try {
    await proceed();
  } catch (error) {
    if (!io.stopped()) throw error;
    // Stopped without a connection: messages that were not sent are not recorded as sent.
    return { id: file.id, version, kid, token, dryRun: false, result: 'stopped', nodes: rollout.states };
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
    // For gateways that were offline, or that join the group later.
    await send(desired, true);
  if (result !== 'stopped') {
    saveRollout(folder, { ...file, states: rollout.states, ended: true });
    const nodes = Object.fromEntries(states.map(({ node, status }) => [node, status]));
    append(folder.history, { id: file.id, ended: new Date(io.now()).toISOString(), result, nodes });
  }
  return { id: file.id, version, kid, token, dryRun: false, result, nodes: states };
}

/** The content as the history stores it: of a model, only the name. */
export function historyContent({ model, ...content }: PushContent): Pushed['content'] {
  return { ...content, ...(model !== undefined && { model: { name: model.name } }) };
}

/** One above every version of this key in the history and in the gateways' reports. */
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

/** @throws GatecastError USAGE if it is too large */
export async function signed(claims: Claims, signer: Signer): Promise<string> {
  const jws = await sign(claims, signer);
  if (jws.length > MAX_PUSH_BYTES)
    throw new GatecastError(
      'USAGE',
      `the push has ${jws.length} bytes; at most ${MAX_PUSH_BYTES} are allowed`,
    );
  return jws;
}

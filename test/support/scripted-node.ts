/** Gateways that report as the contract of remote config says, for tests of the operator's commands. */
import { compactVerify, decodeProtectedHeader, importJWK, type JWK } from 'jose';
import mqtt, { type MqttClient } from 'mqtt';
import {
  type Claims,
  type Code,
  claimsSchema,
  type ModelClaim,
  type Reported,
  type Status,
} from '../../src/remote/contract.ts';
import { sha256 } from '../../src/system/files.ts';

export interface Verdict {
  readonly status: Status;
  readonly code: Code;
  readonly text?: string;
  /** Instead of the verdict of a probation: for so long it is on probation, ms. */
  readonly afterMs?: number;
}

export interface ScriptedNode {
  /** Pushes that were applied or refused, dry runs left out. */
  readonly pushes: Claims[];
  readonly dryRuns: Claims[];
  /** Bytes of the models that came with pushes. */
  readonly models: ReadonlyMap<string, Buffer>;
  close(): Promise<void>;
}

export interface NodeScript {
  readonly url: string;
  readonly name: string;
  readonly group: string;
  /** Public keys that it knows. */
  readonly keys: () => readonly JWK[];
  readonly judge?: (claims: Claims) => Verdict;
  readonly judgeDryRun?: (claims: Claims) => Verdict;
}

const APPLIED: Verdict = { status: 'applied', code: 200 };

export async function scriptedNode(script: NodeScript): Promise<ScriptedNode> {
  const { url, name, group, judge = () => APPLIED, judgeDryRun = () => APPLIED } = script;
  const client: MqttClient = await mqtt.connectAsync(url, { protocolVersion: 5 });
  const own = `gatecast/${name}/config/desired`;
  const fleet = `gatecast/fleet/${group}/config/desired`;
  const history: Reported['history'][number][] = [];
  const handled = new Set<string>();
  const pushes: Claims[] = [];
  const dryRuns: Claims[] = [];
  const models = new Map<string, Buffer>();

  const report = (kid: string, claims: Claims, verdict: Verdict, layer: string, dryRun: boolean): void => {
    const { status, code, text } = verdict;
    const outcome = { status, code, version: claims.version, kid, token: claims.token ?? null };
    if (!dryRun && status !== 'applying' && status !== 'probation')
      history.push({ ...outcome, layer, at: new Date().toISOString() });
    const reported: Reported = {
      ...outcome,
      layer,
      ...(dryRun ? { dry_run: true as const } : {}),
      attempted_hash: null,
      effective_hash: 'e'.repeat(64),
      last_good: { version: null, kid: null, hash: '0' },
      rolled_back_from: status === 'rolled_back' ? claims.version : null,
      errors: text === undefined ? [] : [{ path: 'streams.pumps', text, hint: '' }],
      needs: 'hot',
      since: new Date().toISOString(),
      effective: outcome,
      history: history.slice(-8),
      dropped: 0,
    };
    client.publish(`gatecast/${name}/config/reported`, JSON.stringify(reported), { qos: 1, retain: !dryRun });
  };

  client.on('message', async (topic, payload) => {
    if (topic.includes('/chunk/')) return;
    const jws = payload.toString();
    if (jws === '' || handled.has(jws)) return;
    handled.add(jws);
    const { kid = '' } = decodeProtectedHeader(jws);
    const jwk = script.keys().find((one) => one.kid === kid);
    if (jwk === undefined) return;
    const { payload: bytes } = await compactVerify(jws, await importJWK(jwk, 'EdDSA'));
    const claims = claimsSchema.parse(JSON.parse(Buffer.from(bytes).toString()));
    const layer = claims.aud === `fleet:gatecast/${group}` ? `fleet:${group}` : 'node';
    if (claims.dry_run === true) {
      dryRuns.push(claims);
      return report(kid, claims, judgeDryRun(claims), layer, true);
    }
    pushes.push(claims);
    if (claims.model !== undefined) models.set(claims.model.name, await takeModel(claims.model));
    const verdict = judge(claims);
    if (verdict.status === 'rejected') return report(kid, claims, verdict, layer, false);
    report(kid, claims, { status: 'probation', code: 202 }, layer, false);
    setTimeout(() => client.connected && report(kid, claims, verdict, layer, false), verdict.afterMs ?? 50);
  });
  /** Asks for all chunks of a model. @returns its bytes, each chunk as it was signed */
  async function takeModel({ name: model, manifest_sha256, chunks = [] }: ModelClaim): Promise<Buffer> {
    const got = new Map<number, Buffer>();
    let done: () => void = () => {};
    const complete = new Promise<void>((resolve) => {
      done = resolve;
    });
    client.on('message', (topic, chunk) => {
      const number = Number(/\/chunk\/(\d+)$/.exec(topic)?.[1] ?? Number.NaN);
      if (chunks[number] !== sha256(chunk)) return;
      got.set(number, chunk);
      if (got.size === chunks.length) done();
    });
    await client.subscribeAsync(`gatecast/${name}/model/${model}/chunk/+`, { qos: 1 });
    const missing = [[0, chunks.length - 1]];
    const have = { manifest_sha256, chunks: chunks.length, missing, status: 'receiving', reason: null };
    client.publish(`gatecast/${name}/model/${model}/have`, JSON.stringify(have));
    await complete;
    return Buffer.concat(chunks.map((_, number) => got.get(number) ?? Buffer.alloc(0)));
  }

  await client.subscribeAsync([own, fleet], { qos: 1 });
  return { pushes, dryRuns, models, close: () => client.endAsync(true) };
}

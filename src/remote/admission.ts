/**
 * Decides whether to accept a message on a desired topic as a push: it must be authentic, for this gateway, with a new
 * version, and valid now. Writes and reports nothing; the caller acts on the result.
 */
import type { Config } from '../config/index.ts';
import { parseDuration } from '../config/units.ts';
import type { Clock } from '../system/clock.ts';
import { sha256 } from '../system/files.ts';
import {
  type Claims,
  CONFIG_TYP,
  claimsSchema,
  DEFAULT_PROBATION,
  fleetAudience,
  type LayerName,
  nodeAudience,
  type Problem,
  unsignedSchema,
} from './contract.ts';
import type { KeySet } from './keys.ts';
import type { NewPush, PushLifecycle } from './push-lifecycle.ts';
import type { QueuedMessage } from './push-queue.ts';
import {
  checkTimes,
  problem,
  type Refusal,
  readUnsigned,
  statedClaims,
  type Times,
  verify,
} from './verify.ts';

/** Content of a push; `remove`: an empty message removes the layer. */
export type Content = Pick<Claims, 'config' | 'patch' | 'rollback' | 'model'> & { readonly remove?: true };

export interface AcceptedPush {
  readonly push: NewPush;
  readonly content: Content;
  readonly probationMs: number;
}

type Admitted =
  | { readonly type: 'push' | 'dry-run'; readonly taken: AcceptedPush }
  /** Refused without a write to the disk. `waits`: to be checked again when the gateway's clock allows these times. */
  | {
      readonly type: 'refused';
      readonly layer: LayerName;
      readonly refusal: Refusal;
      readonly waits: Times | null;
    }
  /** The agent crashed too often while reading this push. */
  | { readonly type: 'harmful'; readonly push: NewPush }
  /** The broker repeated a push that was already handled. */
  | { readonly type: 'repeated' }
  /** Removes a layer that does not exist. */
  | { readonly type: 'nothing' };

interface AdmissionParts {
  readonly life: Pick<PushLifecycle, 'isHandled' | 'seen' | 'mayComeAgain' | 'isHarmful' | 'running'>;
  readonly local: Pick<Config, 'node' | 'base' | 'remote_config'>;
  readonly keys: KeySet;
  readonly clock: Pick<Clock, 'now'>;
  readonly host: { clockIsSet(): boolean };
}

const DEFAULT_PROBATION_MS = parseDuration(DEFAULT_PROBATION) ?? 0;

export class Admission {
  constructor(private readonly parts: AdmissionParts) {}

  /** @param before pushes of the same batch, whose versions count as seen */
  async admit(message: QueuedMessage, before: readonly AcceptedPush[]): Promise<Admitted> {
    const { payload } = message;
    const { life, local, keys, clock, host } = this.parts;
    const layer = this.layerOf(message);
    if (message.bytes === 0) return this.removal(layer);
    const digest = sha256(payload);
    // repeated by the broker, or already delivered on the topic of the node
    if ((message.mayRepeat || layer !== 'node') && life.isHandled(layer, digest)) return { type: 'repeated' };
    const turnAway = (refusal: Refusal, waits: Times | null = null): Admitted => ({
      type: 'refused',
      layer,
      refusal,
      waits,
    });
    if (message.bytes !== payload.length) {
      const problems = [problem('', `has ${message.bytes} bytes`)];
      return turnAway({ code: 413, problems, version: null, kid: null, token: null });
    }
    const audience =
      layer === 'node' ? nodeAudience(local.base, local.node) : fleetAudience(local.base, layer.slice(6));
    const { message: authentic, refusal } = local.remote_config.unsigned
      ? readUnsigned(payload, { audience, schema: unsignedSchema })
      : await verify(payload, { keys, typ: CONFIG_TYP, role: 'config', audience, schema: claimsSchema });
    if (refusal !== null) return turnAway(refusal);
    const { claims, kid } = authentic;
    const push: NewPush = { layer, version: claims.version, kid, token: claims.token ?? null, digest };
    const refuse = (code: Refusal['code'], found: Problem, waits: Times | null = null): Admitted =>
      turnAway({ code, problems: [found], ...push }, waits);
    if (claims.model !== undefined && kid !== null && !(keys.get(kid)?.roles.includes('model') ?? false))
      return refuse(401, problem('header.kid', 'may not sign models', 'sign with a key of the role `model`'));
    const seen = this.seen(push, before);
    const again = claims.version === seen && life.mayComeAgain(digest);
    if (claims.version <= seen && !again)
      return refuse(409, problem('version', `must be greater than ${seen}, the last one of this key`, NEWER));
    if (claims.iat !== undefined || claims.exp !== undefined) {
      if (!host.clockIsSet())
        return refuse(
          503,
          problem('exp', 'cannot be checked before the clock of the gateway is set', CLOCK),
          claims,
        );
      const times = checkTimes(claims, clock.now());
      if (times !== null) return refuse(408, times, claims);
    }
    if (life.isHarmful(digest)) return { type: 'harmful', push };
    const probationMs =
      claims.probation === undefined ? DEFAULT_PROBATION_MS : (parseDuration(claims.probation) ?? 0);
    return {
      type: claims.dry_run === true ? 'dry-run' : 'push',
      taken: { push, content: claims, probationMs },
    };
  }

  /** The layer of a push. A fleet push may also arrive on the node's topic; its signed audience decides. */
  private layerOf({ layer, payload }: QueuedMessage): LayerName {
    const { base, remote_config } = this.parts.local;
    if (layer !== 'node' || payload.length === 0) return layer;
    const stated = statedClaims(payload)?.aud;
    const group = remote_config.groups.find((name) => stated === fleetAudience(base, name));
    return group === undefined ? layer : `fleet:${group}`;
  }

  private removal(layer: LayerName): Admitted {
    if (this.parts.life.running()[layer] === undefined) return { type: 'nothing' };
    const push: NewPush = { layer, version: null, kid: null, token: null, digest: sha256('') };
    return { type: 'push', taken: { push, content: { remove: true }, probationMs: DEFAULT_PROBATION_MS } };
  }

  /** The highest version of the key for the layer. */
  private seen({ layer, kid }: NewPush, before: readonly AcceptedPush[]): number {
    const versions = before
      .filter(({ push }) => push.layer === layer && push.kid === kid)
      .map(({ push }) => push.version ?? 0);
    return Math.max(this.parts.life.seen(layer, kid), ...versions);
  }
}

const NEWER = 'sign it again with a higher version';
const CLOCK = 'it is accepted when the clock is set';

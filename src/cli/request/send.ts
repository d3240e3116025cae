/** Sends one request over the broker: subscribes to the answers, publishes, and finds the answer by its transaction. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { BrokerOptions } from '../../mqtt/options.ts';
import { topicsOf } from '../../mqtt/topics.ts';
import { nodeAudience, REQUEST_TYP, type RequestClaims } from '../../remote/contract.ts';
import { type Signer, sign } from '../../remote/sign.ts';
import { jsonOrNull } from '../../system/json.ts';
import { openLink } from '../shared/broker.ts';

interface RequestToSend {
  readonly base: string;
  readonly node: string;
  readonly verb: string;
  readonly stream?: string | undefined;
  readonly group?: string | undefined;
  /** null: unsigned. */
  readonly signer: Signer | null;
  readonly waitMs: number;
}

/** Validity of a signed request, s. */
const VALID_S = 300;
const LOOK_MS = 50;

const answerSchema = z.object({
  status: z.string(),
  data: z.unknown(),
  error: z.string().nullable(),
  transaction: z.union([z.string(), z.number()]).nullable(),
});
type Answer = z.infer<typeof answerSchema>;

/** @returns null if no answer arrived in time. @throws GatecastError BROKER_UNREACHABLE */
export async function send(request: RequestToSend, options: BrokerOptions): Promise<Answer | null> {
  const { base, node, verb, signer, waitMs } = request;
  const topics = topicsOf(base, node);
  const transaction = randomUUID();
  let answer: Answer | null = null;
  const link = await openLink(options, ({ payload }) => {
    const found = answerSchema.safeParse(jsonOrNull(payload)).data;
    if (found?.transaction === transaction) answer = found;
  });
  try {
    await link.subscribe([topics.response(verb)]);
    const names = { stream: request.stream, group: request.group };
    const payload =
      signer === null
        ? JSON.stringify({ transaction, ...names })
        : await sign(claimsOf(request, { transaction, ...names }), signer, REQUEST_TYP);
    await link.publish({ topic: topics.request(verb), payload, qos: 1, retain: false });
    for (const endMs = Date.now() + waitMs; answer === null && Date.now() < endMs; ) {
      await link.settled();
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return answer;
  } finally {
    await link.close();
  }
}

/** The version is the time, so that several machines can use one key without coordination. */
function claimsOf(
  { base, node, verb }: RequestToSend,
  asked: Pick<RequestClaims, 'transaction' | 'stream' | 'group'>,
): RequestClaims {
  const nowMs = Date.now();
  const iat = Math.floor(nowMs / 1000);
  return { aud: nodeAudience(base, node), iat, exp: iat + VALID_S, version: nowMs, verb, ...asked };
}

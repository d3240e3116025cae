/** Finds the status of one push in a gateway's report. Pure. */
import { z } from 'zod';
import { type LayerName, type Reported, reportedSchema, STATUSES } from '../../remote/contract.ts';
import { jsonOrNull } from '../../system/json.ts';
import { printable } from '../shared/output.ts';

export interface PushKey {
  readonly kid: string;
  readonly version: number;
  readonly token: string;
  readonly layer: LayerName;
}

export const nodeStateSchema = z
  .object({
    node: z.string(),
    status: z.enum(['waiting', 'sent', ...STATUSES, 'no answer']),
    version: z.number().nullable(),
    code: z.number().nullable(),
    reason: z.string(),
  })
  .readonly();
export type NodeState = z.infer<typeof nodeStateSchema>;
type NodeStatus = NodeState['status'];

/** Null if the payload is not a report. */
export function parseReported(payload: Uint8Array): Reported | null {
  return reportedSchema.safeParse(jsonOrNull(payload)).data ?? null;
}

/** Longest reason that is shown, characters. */
const MAX_REASON = 300;

type Said = Pick<NodeState, 'status' | 'version' | 'code' | 'reason'>;

/** Null if the report does not mention the push. */
export function outcomeOf(reported: Reported, sought: PushKey): Said | null {
  if (reported.dry_run === true) return null;
  const matches = (one: Pick<Reported, 'kid' | 'version' | 'token'> & { readonly layer: string | null }) =>
    one.version === sought.version &&
    one.kid === sought.kid &&
    (one.token === null || one.token === sought.token) &&
    one.layer === sought.layer;
  // A push that arrives twice is refused as not newer (409); its first result is in the history.
  const found = [...reported.history, reported].filter(matches);
  const said = found.filter(({ code }) => code !== 409).at(-1) ?? found.at(-1);
  if (said === undefined) return null;
  const { status, version, code } = said;
  const failed = status === 'rejected' || status === 'rolled_back';
  const notes = printable((reported.notes ?? []).join('; '));
  const reason = failed ? reasonOf(reported) : transferOf(reported) || notes;
  return { status, version, code, reason: said === reported ? reason : '' };
}

/** The answer to a dry run; null if the report is about something else. */
export function dryOutcomeOf(reported: Reported, token: string): Said | null {
  if (reported.token !== token) return null;
  const { status, version, code } = reported;
  return { status, version, code, reason: reasonOf(reported) };
}

function transferOf({ transfer }: Reported): string {
  if (transfer == null) return '';
  const percent = Math.floor((100 * transfer.received) / transfer.bytes);
  return printable(`model ${transfer.model}: ${percent} % of ${Math.ceil(transfer.bytes / 1024)} kB`);
}

export function reasonOf({ errors }: Reported): string {
  const [first] = errors;
  if (first === undefined) return '';
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return printable(`${first.path === '' ? '' : `${first.path} `}${first.text}${more}`).slice(0, MAX_REASON);
}

/** The status will not change without another push. */
export const isFinal = (status: NodeStatus): boolean =>
  status === 'applied' || status === 'rejected' || status === 'rolled_back' || status === 'no answer';

export const isFailure = (status: NodeStatus): boolean => isFinal(status) && status !== 'applied';

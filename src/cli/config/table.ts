/** The nodes of a push as a table: redrawn in place on a terminal, a line for each change elsewhere. */
import { textTable } from '../shared/text-table.ts';
import { isFailure, isFinal, type NodeState } from './outcome.ts';

interface TableTarget {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  /** NO_COLOR (no-color.org) is set, or the terminal has no colours. */
  readonly plain: boolean;
  write(text: string): unknown;
}

const HEAD = ['node', 'version', 'status', 'reason'] as const;
const COLOURS: Readonly<Record<string, number>> = {
  applied: 32,
  rejected: 31,
  rolled_back: 31,
  'no answer': 31,
  probation: 33,
};

export class LiveTable {
  private drawn = 0;
  private readonly shown = new Map<string, string>();

  constructor(private readonly target: TableTarget) {}

  update(states: readonly NodeState[], title: string): void {
    if (this.target.isTTY) this.redraw(states, title);
    else for (const state of states) this.change(state);
  }

  /** Writes a line where it is no terminal. */
  change(state: NodeState): void {
    if (this.target.isTTY || state.status === 'waiting') return;
    const line = `${cells(state).join('  ').trimEnd()}\n`;
    if (this.shown.get(state.node) === line) return;
    this.shown.set(state.node, line);
    this.target.write(line);
  }

  /** A line that stays: a table is drawn again below it. */
  note(text: string): void {
    this.target.write(`${text}\n`);
    this.drawn = 0;
  }

  private redraw(states: readonly NodeState[], title: string): void {
    const { columns = 80, rows = 24 } = this.target;
    const room = Math.max(3, rows - 4);
    // What still moves or has failed is worth the room.
    const order = [...states].sort((a, b) => weight(a) - weight(b));
    const seen = order.slice(0, states.length > room ? room - 1 : room);
    const left = states.length - seen.length;
    const lines = [
      title,
      ...tableLines(seen, (text, state) => this.colour(text, state), columns - 1),
      ...(left > 0 ? [`… and ${left} more`] : []),
    ];
    const up = this.drawn > 0 ? `\u001b[${this.drawn}A` : '';
    this.target.write(`${up}\r\u001b[J${lines.join('\n')}\n`);
    this.drawn = lines.length;
  }

  private colour(text: string, { status }: NodeState): string {
    const code = COLOURS[status];
    return this.target.plain || code === undefined ? text : `\u001b[${code}m${text}\u001b[39m`;
  }
}

const weight = ({ status }: NodeState): number =>
  isFailure(status) ? 0 : status === 'waiting' ? 2 : isFinal(status) ? 3 : 1;

const cells = ({ node, version, status, code, reason }: NodeState): [string, string, string, string] => [
  node,
  version === null ? '-' : String(version),
  code === null ? status : `${status} ${code}`,
  reason,
];

/** Aligned lines with a head. @param width longest line */
export function tableLines(
  states: readonly NodeState[],
  colour: (text: string, state: NodeState) => string = (text) => text,
  width = Number.POSITIVE_INFINITY,
): string[] {
  const [head = '', ...rows] = textTable([HEAD, ...states.map(cells)]).split('\n');
  return [
    head.slice(0, width),
    ...states.map((state, at) => colour((rows[at] ?? '').slice(0, width), state)),
  ];
}

/** `plain` without colours. */
export function terminal(write: (text: string) => unknown): TableTarget {
  const { stdout, env } = process;
  return {
    isTTY: stdout.isTTY && env.TERM !== 'dumb',
    // A terminal without a size says 0.
    columns: stdout.columns || 80,
    rows: stdout.rows || 24,
    plain: (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb',
    write,
  };
}

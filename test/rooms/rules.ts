/**
 * The rules of the rooms, read from the table in `docs/architecture.md`, which is their one source: a room's row names
 * the rooms it may import, `X (types)` or `types of X` those of which it may know the types only.
 */
export interface Room {
  readonly name: string;
  readonly pure: boolean;
  /** Rooms it may import; null: all of them. */
  readonly imports: ReadonlySet<string> | null;
  /** The npm package of which the row says "the one importer of". */
  readonly packageOwned: string | null;
}

/** `src/series/sample.ts` -> `series`; `src/errors.ts` -> `errors`. */
export const roomOf = (path: string): string => path.split('/')[1]?.replace(/\.ts$/, '') ?? '';

export function readRules(markdown: string): Map<string, Room> {
  const rooms = new Map<string, Room>();
  for (const row of markdown.matchAll(/^\| (`[^|]*`) +\| ([^|]*) \| ([^|]*?) *\|$/gm)) {
    const [, names = '', job = '', may = ''] = row;
    const imports =
      may === 'all'
        ? null
        : new Set(
            may
              .split(', ')
              .filter((entry) => entry !== 'nothing' && !/\(types\)|^types of/.test(entry))
              .map((entry) => entry.trim()),
          );
    for (const name of names.matchAll(/`([^`/.]+)(?:\/|\.ts)`/g)) {
      rooms.set(name[1] ?? '', {
        name: name[1] ?? '',
        pure: job.startsWith('PURE'),
        imports,
        packageOwned: /the one importer of ([\w-]+)/.exec(job)?.[1] ?? null,
      });
    }
  }
  return rooms;
}

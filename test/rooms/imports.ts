/**
 * Reads what a source file imports, without a compiler. It leans on the formatter, which `npm run check` runs first:
 * a static import or re-export starts in column 0 and its specifier is in single quotes. A dynamic `import('x')` and
 * `new URL('x', import.meta.url)` (how a worker is named) are found anywhere.
 */
export interface Import {
  readonly specifier: string;
  /** Erased by the compiler: `import type`, `export type`, or braces in which every name is a `type`. */
  readonly typeOnly: boolean;
}

/** The code with comments blanked, line breaks kept. Knows strings, templates without nesting, and regular expressions. */
export function withoutComments(source: string): string {
  const token =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<=[(,=:[!&|?{};+]\s*|^\s*|\breturn\s+)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/gm;
  return source.replace(token, (text) =>
    text.startsWith('//') || text.startsWith('/*') ? text.replace(/[^\n]/g, ' ') : text,
  );
}

export function importsOf(source: string): Import[] {
  const code = withoutComments(source);
  const found: Import[] = [];
  for (const match of code.matchAll(
    /^(?:import|export)\b(?<clause>(?:[^'";(]|\n)*?)\bfrom\s*'(?<specifier>[^'\n]+)'/gm,
  )) {
    const { clause = '', specifier = '' } = match.groups ?? {};
    found.push({ specifier, typeOnly: isTypeOnly(clause) });
  }
  for (const match of code.matchAll(/^import\s+'([^'\n]+)'/gm))
    found.push({ specifier: match[1] ?? '', typeOnly: false });
  for (const match of code.matchAll(/\bimport\(\s*'([^'\n]+)'\s*\)/g)) {
    // `typeof import('x')` is a type; any other is a load at run time.
    const typeOnly = /\btypeof\s+$/.test(code.slice(0, match.index));
    found.push({ specifier: match[1] ?? '', typeOnly });
  }
  for (const match of code.matchAll(/new URL\(\s*'(\.[^'\n]+\.ts)',\s*import\.meta\.url/g))
    found.push({ specifier: match[1] ?? '', typeOnly: false });
  return found;
}

function isTypeOnly(clause: string): boolean {
  if (/^\s+type\b(?!\s*,)/.test(clause)) return true;
  const braces = /^\s*\{([\s\S]*)\}\s*$/.exec(clause);
  const names = (braces?.[1] ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  return names.length > 0 && names.every((name) => name.startsWith('type '));
}

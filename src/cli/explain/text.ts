/** The text output of `gatecast explain`. */
import { formatDuration } from '../../config/units.ts';
import { type IntervalView, PARTS, type PartName } from '../../forecast/explanation.ts';
import { GROWN } from '../../forecast/young.ts';
import { factLine, indentedTable, sameDecimals } from '../shared/text-table.ts';
import type { Explained } from './run.ts';

/** Minimum number of significant digits. */
const DIGITS = 4;

const percent = (share: number): string => `${Math.round(100 * share)} %`;
const factor = (value: number): string => `x ${value.toFixed(2)}`;
/** Beyond this factor, the parts' own widths say nothing: a stream that is new or was constant has almost none. */
const MOST_FACTOR = 10;
const widthText = (width: number | null): string => {
  if (width === null) return '-';
  return width > MOST_FACTOR ? `> x ${MOST_FACTOR}` : factor(width);
};

export function explanationText(explained: Explained): string {
  const { stream, unit, origin, step_s, model, input, buckets, leads, range, limits } = explained;
  const shown = sameDecimals(
    leads.flatMap(({ published }) => [published.p10, published.p50, published.p90]),
    DIGITS,
  );
  const signed = (value: number, text = shown): string => `${value > 0 ? '+' : ''}${text(value)}`;
  const interval = ({ p10, p50, p90 }: IntervalView): string[] => [shown(p10), shown(p50), shown(p90)];
  const ahead = (lead: number): string => formatDuration(lead * step_s * 1000);
  const first = leads.map(({ lead }) => ahead(lead));
  const lines = [
    `${stream}${unit === null ? '' : ` in ${unit}`}, forecast of the bucket ${origin}`,
    factLine('model', `${model.id} ${model.version}`.trim()),
    factLine('history', `${buckets} buckets of ${formatDuration(step_s * 1000)}`),
    factLine('input', input === 'good' ? 'good' : `${input}: the newest bucket has no usable reading`),
    factLine('limits', limitsText(limits, range, shown)),
    '',
    'forecast',
    indentedTable([
      ['ahead', 'p10', 'p50', 'p90', 'width', 'widened'],
      ...leads.map(({ published, width, widened }, i) => [
        first[i] ?? '',
        ...interval(published),
        widthText(width),
        factor(widened),
      ]),
    ]),
    ...widthNote(explained),
    '',
    'median of each part, and how much it counts',
    indentedTable([
      ['ahead', ...PARTS.filter((part) => speaks(explained, part))],
      ...partRows(explained, first),
    ]),
  ];
  if (explained.inputs_used.length > 0) {
    lines.push('', 'covariates: change of the median because each is known');
    const names = explained.inputs_used.map(({ name }) => name);
    const columns = explained.inputs_used.map(({ effect }) => sameDecimals(effect, 3, 2));
    lines.push(
      indentedTable([
        ['ahead', ...names],
        ...first.map((text, i) => [
          text,
          ...explained.inputs_used.map(({ effect }, at) => signed(effect[i] ?? 0, columns[at])),
        ]),
      ]),
    );
  }
  const { what_if: whatIf } = explained;
  if (whatIf !== null) {
    const set = Object.entries(whatIf.set).map(([name, value]) => `${name} = ${value}`);
    lines.push('', `what if ${set.join(', ')}`);
    lines.push(
      indentedTable([
        ['ahead', 'p50', 'p50 then', 'change'],
        ...leads.map(({ published }, i) => {
          const then = whatIf.p50[i] ?? published.p50;
          return [first[i] ?? '', shown(published.p50), shown(then), signed(then - published.p50)];
        }),
      ]),
    );
  }
  return `${lines.join('\n')}\n`;
}

function widthNote({ leads, buckets }: Explained): string[] {
  if (leads.every(({ width }) => width === null || width <= MOST_FACTOR)) return [];
  const source =
    buckets < GROWN
      ? `; after ${buckets} of ${GROWN} buckets, the usual changes of similar streams count too`
      : '';
  return [
    `  > x ${MOST_FACTOR}: the readings so far hardly changed, so the parts below have almost no width${source}`,
  ];
}

/** Whether a part has a share at any lead. */
function speaks({ leads }: Explained, part: PartName): boolean {
  return leads.some(({ parts }) => parts.some((one) => one.part === part && one.share >= 0.005));
}

function partRows(explained: Explained, first: readonly string[]): string[][] {
  const shown = sameDecimals(
    explained.leads.flatMap(({ parts }) => parts.map(({ p50 }) => p50)),
    DIGITS,
  );
  return explained.leads.map(({ parts }, i) => [
    first[i] ?? '',
    ...PARTS.filter((part) => speaks(explained, part)).map((part) => {
      const one = parts.find((view) => view.part === part);
      return one === undefined ? '-' : `${shown(one.p50)} ${percent(one.share).padStart(5)}`;
    }),
  ]);
}

function limitsText(
  { min, max }: Explained['limits'],
  range: Explained['range'],
  shown: (value: number) => string,
): string {
  const given = [min === null ? '' : `min ${min}`, max === null ? '' : `max ${max}`].filter(
    (text) => text !== '',
  );
  const config = given.length === 0 ? 'none in the config' : given.join(', ');
  return range === null ? config : `${config}; readings so far ${shown(range.low)} to ${shown(range.high)}`;
}

/** Writes a complete, commented and valid config for the surveyed topics, as YAML. */
import { Document, isCollection, isMap, type Pair, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import type { Survey } from '../../ingest/survey.ts';
import { type SuggestedRule, suggestRules } from './rules.ts';

/**
 * @param head first keys of the config, including `node` and `mqtt`
 * @param existing names of the streams of a config that these rules are to be added to
 * @returns YAML; `streams` is empty without measurements
 */
export function suggestConfig(
  head: Readonly<Record<string, unknown>>,
  survey: Survey,
  existing: readonly string[] = [],
): string {
  const { rules, ignore } = suggestRules(survey, existing);
  const document = new Document({ ...head, ...(ignore.length === 0 ? {} : { ignore }), streams: [] });
  document.commentBefore =
    ' Suggested from the received messages. Units and limits are from device documentation, or guessed from names: check them.' +
    ('data_dir' in head
      ? ''
      : '\n The database is in /var/lib/gatecast. To run it as an ordinary user, add: data_dir: ./data') +
    [...survey.unread]
      .map(([topic, why]) => `\n Not read: ${topic.replaceAll(/[\r\n]/g, ' ')} (${why})`)
      .join('');
  document.set('streams', ruleNodes(document, rules));
  const mqtt = document.get('mqtt') as YAMLMap | undefined;
  if (mqtt !== undefined) mqtt.flow = true;
  return document.toString({ lineWidth: 0 });
}

/** The rules as a list with comments. */
export function ruleNodes(document: Document, rules: readonly SuggestedRule[]): YAMLSeq {
  const list = document.createNode(rules.map(({ keys }) => keys)) as YAMLSeq<YAMLMap>;
  for (const [at, rule] of rules.entries()) {
    const map = list.items[at] as YAMLMap;
    map.commentBefore = commentOf(rule)
      .map((line) => ` ${line.replaceAll(/[\r\n]/g, ' ')}`)
      .join('\n');
    for (const { key, value } of map.items as Pair<Scalar, YAMLMap | YAMLSeq | Scalar>[]) {
      if (['match', 'name', 'device'].includes(String(key.value)))
        (value as Scalar).type = Scalar.QUOTE_DOUBLE;
      if (value instanceof YAMLSeq && value.items.some(isMap)) {
        for (const item of value.items) if (item instanceof YAMLMap) item.flow = true;
      } else if (isCollection(value)) value.flow = true;
    }
  }
  return list;
}

function commentOf({ family, topics, remarks }: SuggestedRule): string[] {
  const count = topics.length === 1 ? '1 topic' : `${topics.length} topics`;
  return [family === null ? count : `${family}, ${count}`, ...remarks];
}

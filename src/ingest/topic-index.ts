/**
 * Finds the rules that match a topic by walking its levels down a tree, so that the cost follows the depth of the
 * topic and not the number of rules.
 */
import type { PatternLevel, TopicPattern } from './pattern.ts';

interface Node {
  readonly literals: Map<string, Node>;
  one: Node | null;
  /** Rules whose pattern ends here. */
  readonly ends: number[];
  /** Rules whose pattern has `#` at this level. */
  readonly rests: number[];
}

/** Most places in the tree for one pattern with named levels; further named levels match any, and `matchPattern` decides. */
const MAX_NODES = 256;

const newNode = (): Node => ({ literals: new Map(), one: null, ends: [], rests: [] });

export class TopicIndex {
  private readonly root = newNode();

  constructor(patterns: readonly TopicPattern[]) {
    for (const [rule, pattern] of patterns.entries()) this.insert(rule, pattern.levels);
  }

  /** Numbers of the patterns that may match, ascending: ask `matchPattern` about those with many named levels. */
  match(topicLevels: readonly string[]): number[] {
    const found: number[] = [];
    // MQTT 5, 4.7.2: a wildcard in the first level does not match topics that begin with '$'.
    this.walk(this.root, topicLevels, 0, found, topicLevels[0]?.startsWith('$') === true);
    return found.sort((a, b) => a - b);
  }

  private insert(rule: number, levels: readonly PatternLevel[]): void {
    let nodes = [this.root];
    for (const level of levels) {
      if (level.kind === 'rest') {
        for (const node of nodes) node.rests.push(rule);
        return;
      }
      if (level.kind === 'one' && (level.only === null || nodes.length * level.only.length > MAX_NODES)) {
        nodes = nodes.map((node) => {
          node.one ??= newNode();
          return node.one;
        });
        continue;
      }
      const texts = level.kind === 'one' ? (level.only ?? []) : [level.text];
      nodes = nodes.flatMap((node) => texts.map((text) => literalOf(node, text)));
    }
    for (const node of nodes) node.ends.push(rule);
  }

  /** Recursion is as deep as the longest pattern of the config, not as the topic. */
  private walk(
    node: Node,
    levels: readonly string[],
    at: number,
    found: number[],
    literalOnly: boolean,
  ): void {
    if (!literalOnly) found.push(...node.rests);
    if (at === levels.length) {
      found.push(...node.ends);
      return;
    }
    const literal = node.literals.get(levels[at]);
    if (literal !== undefined) this.walk(literal, levels, at + 1, found, false);
    if (node.one !== null && !literalOnly) this.walk(node.one, levels, at + 1, found, false);
  }
}

function literalOf(node: Node, text: string): Node {
  let next = node.literals.get(text);
  if (next === undefined) {
    next = newNode();
    node.literals.set(text, next);
  }
  return next;
}

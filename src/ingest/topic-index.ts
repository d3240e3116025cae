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
  /** Rules whose pattern goes on with `#` here. */
  readonly rests: number[];
}

const newNode = (): Node => ({ literals: new Map(), one: null, ends: [], rests: [] });

export class TopicIndex {
  private readonly root = newNode();

  constructor(patterns: readonly TopicPattern[]) {
    for (const [rule, pattern] of patterns.entries()) this.insert(rule, pattern.levels);
  }

  /** Numbers of the matching patterns, ascending. */
  match(topicLevels: readonly string[]): number[] {
    const found: number[] = [];
    // MQTT 5, 4.7.2: a wildcard in the first level does not match topics that begin with '$'.
    this.walk(this.root, topicLevels, 0, found, topicLevels[0]?.startsWith('$') === true);
    return found.sort((a, b) => a - b);
  }

  private insert(rule: number, levels: readonly PatternLevel[]): void {
    let node = this.root;
    for (const level of levels) {
      if (level.kind === 'rest') {
        node.rests.push(rule);
        return;
      }
      if (level.kind === 'one') {
        node.one ??= newNode();
        node = node.one;
      } else {
        let next = node.literals.get(level.text);
        if (next === undefined) {
          next = newNode();
          node.literals.set(level.text, next);
        }
        node = next;
      }
    }
    node.ends.push(rule);
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

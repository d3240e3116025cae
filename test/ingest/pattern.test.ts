import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import { isTopic, matchPattern, parsePattern } from '../../src/ingest/pattern.ts';
import { TopicIndex } from '../../src/ingest/topic-index.ts';

const match = (pattern: string, topic: string) => matchPattern(parsePattern(pattern), topic.split('/'));

describe('a topic pattern', () => {
  it('captures a level, and gives the filter to subscribe to', () => {
    const pattern = parsePattern('plant/{line}/+/{tag}/#');
    expect(pattern.filter).toBe('plant/+/+/+/#');
    expect(pattern.captures).toEqual(['line', 'tag']);
    expect(matchPattern(pattern, 'plant/a/b/c/d/e'.split('/'))).toEqual(['a', 'b', 'c', 'd/e']);
  });

  it('captures only the named levels, and subscribes to no others', () => {
    const pattern = parsePattern('ha/{kind:sensor|number}/+/{what:state}');
    expect(pattern.filters).toEqual(['ha/sensor/+/state', 'ha/number/+/state']);
    expect(pattern.filter).toBe('ha/+/+/+');
    expect(pattern.captures).toEqual(['kind', 'what']);
    expect(matchPattern(pattern, 'ha/sensor/x/state'.split('/'))).toEqual(['sensor', 'x', 'state']);
    expect(matchPattern(pattern, 'ha/light/x/state'.split('/'))).toBeNull();
    expect(matchPattern(pattern, 'ha/sensor/x/unit'.split('/'))).toBeNull();
    expect(match('{root:$SYS|a}/load', '$SYS/load')).toEqual(['$SYS']);
    // Too many to write out.
    const many = (letter: string) => Array.from({ length: 9 }, (_, i) => letter + i).join('|');
    const wide = parsePattern(`{a:${many('a')}}/{b:${many('b')}}`);
    expect(wide.filters).toEqual(['+/+']);
    expect(matchPattern(wide, ['a3', 'b8'])).toEqual(['a3', 'b8']);
    expect(matchPattern(wide, ['a3', 'a8'])).toBeNull();
  });

  it.each([
    ['a/b', 'a/b', []],
    ['a/b', 'a/b/c', null],
    ['a/+', 'a/', ['']],
    ['a/+', 'a', null],
    ['a/#', 'a', ['']],
    ['a/#', 'a/b/c', ['b/c']],
    ['#', 'a/b', ['a/b']],
    ['#', '$SYS/load', null],
    ['+/load', '$SYS/load', null],
    ['$SYS/#', '$SYS/load', ['load']],
    ['/a', '/a', []],
  ])('%s on %s gives %j (MQTT 5, 4.7)', (pattern, topic, taken) => {
    expect(match(pattern, topic)).toEqual(taken);
  });

  it.each([
    '',
    'a/#/b',
    'a#',
    'a+/b',
    'a/{x',
    'a/{x}y',
    'a/{x}/{x}',
    'a/{1}',
    'a/{field}',
    'a/{x:}',
    'a/{x:b|}',
    'a/{x:b|+}',
    'a\0',
    '$share/g/a',
  ])('refuses %j with a hint', (pattern) => {
    const attempt = () => parsePattern(pattern);
    expect(attempt).toThrow(GatecastError);
    expect(attempt).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', hint: expect.stringMatching(/./) }),
    );
  });

  it('validates topics', () => {
    expect(isTopic('a/b c/ü')).toBe(true);
    for (const bad of ['', 'a/+', 'a/#', 'a\0b', 'x'.repeat(65_536)]) expect(isTopic(bad)).toBe(false);
  });
});

describe('the index of patterns', () => {
  it('equals matching every pattern, in order', () => {
    const level = fc.constantFrom('a', 'b', '+', '{x}', '{x:a|b}', '');
    const pattern = fc
      .tuple(fc.array(level, { minLength: 1, maxLength: 4 }), fc.boolean())
      .map(([levels, rest]) => [...levels, ...(rest ? ['#'] : [])].join('/'))
      .filter((text) => text !== '' && text.indexOf('{x') === text.lastIndexOf('{x'));
    const topic = fc.array(fc.constantFrom('a', 'b', 'c', '', '$a'), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 12 }), topic, (sources, levels) => {
        const patterns = sources.map(parsePattern);
        const expected = patterns.flatMap((each, at) => (matchPattern(each, levels) === null ? [] : [at]));
        expect(new TopicIndex(patterns).match(levels)).toEqual(expected);
      }),
    );
  });
});

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelSlots, PROBATION_STARTS } from '../../src/model/slots.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatecast-slots-'));
  path = join(folder, 'models', 'slots.json');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('ModelSlots', () => {
  it('runs the configured model until another is promoted, and remembers over a restart', () => {
    const slots = new ModelSlots(path);
    expect(slots.get('cellar', 'base').current).toBe('base');
    slots.stage('cellar', 'base', 'tuned-1');
    expect(new ModelSlots(path).get('cellar', 'base')).toMatchObject({
      current: 'base',
      candidate: 'tuned-1',
    });
    slots.promote('cellar', 'base', 5, 'better by 4 %');
    expect(new ModelSlots(path).get('cellar', 'base')).toEqual({
      current: 'tuned-1',
      previous: 'base',
      candidate: null,
      probation: { sinceMs: 5, starts: 0 },
      reason: 'better by 4 %',
    });
    expect(slots.get('attic', 'base').current).toBe('base');
    expect(slots.inUse()).toEqual(new Set(['tuned-1', 'base']));
  });

  it('rolls back on request, and not twice', () => {
    const slots = new ModelSlots(path);
    slots.stage('g', 'base', 'tuned');
    slots.promote('g', 'base', 0, '');
    expect(slots.rollback('g', 'base', 'owner asked').current).toBe('base');
    expect(() => slots.rollback('g', 'base', 'again')).toThrow(/no previous model/);
    expect(() => slots.promote('g', 'base', 0, '')).toThrow(/no candidate/);
  });

  it('rolls a model on probation back after three starts that it did not survive', () => {
    const first = new ModelSlots(path);
    first.stage('g', 'base', 'bad');
    first.promote('g', 'base', 0, '');
    for (let start = 0; start < PROBATION_STARTS; start++) {
      expect(new ModelSlots(path).noteStart('g', 'base')).toMatchObject({
        rolledBack: false,
        slots: { current: 'bad' },
      });
    }
    expect(new ModelSlots(path).noteStart('g', 'base')).toMatchObject({
      rolledBack: true,
      slots: { current: 'base' },
    });
    expect(new ModelSlots(path).noteStart('g', 'base')).toMatchObject({
      rolledBack: false,
      slots: { current: 'base' },
    });
  });

  it('ends probation when the model has proved itself', () => {
    const slots = new ModelSlots(path);
    slots.stage('g', 'base', 'good');
    slots.promote('g', 'base', 0, '');
    slots.confirm('g', 'base');
    for (let start = 0; start < 10; start++) expect(slots.noteStart('g', 'base').slots.current).toBe('good');
  });

  it('does not replace or rename a file that it cannot read', () => {
    const first = new ModelSlots(path);
    first.stage('g', 'base', 'tuned');
    first.promote('g', 'base', 0, '');
    renameSync(path, `${path}.away`);
    // Reading it fails, also for root.
    mkdirSync(path);
    const unread = new ModelSlots(path);
    expect(unread).toMatchObject({ isUnread: true, problem: expect.stringMatching(/cannot be read/) });
    expect(unread.get('g', 'base').current).toBe('base');
    expect(() => unread.stage('g', 'base', 'other')).toThrow(/cannot be read/);
    expect(readdirSync(dirname(path)).sort()).toEqual(['slots.json', 'slots.json.away']);
    rmSync(path, { recursive: true });
    renameSync(`${path}.away`, path);
    expect(new ModelSlots(path).get('g', 'base').current).toBe('tuned');
  });

  it('drops a refused candidate and says why', () => {
    const slots = new ModelSlots(path);
    slots.stage('g', 'base', 'worse');
    expect(slots.drop('g', 'base', 'no better than naive')).toMatchObject({
      current: 'base',
      candidate: null,
      reason: 'no better than naive',
    });
  });

  it('moves a damaged file aside and logs it', () => {
    const slots = new ModelSlots(path);
    slots.stage('g', 'base', 'x');
    for (const junk of ['{"format":1,"groups":{"g":{"current":"../../etc"}}}', '{"form', '']) {
      writeFileSync(path, junk);
      const fresh = new ModelSlots(path);
      expect(fresh.problem).toMatch(/damaged/);
      expect(fresh.get('g', 'base').current).toBe('base');
      expect(existsSync(path)).toBe(false);
      expect(readFileSync(`${path}.damaged`, 'utf8')).toBe(junk);
    }
  });

  it('starts without slots if a damaged file cannot be moved aside', () => {
    new ModelSlots(path).stage('g', 'base', 'x');
    writeFileSync(path, '{"form');
    // as on a read-only disk, the rename fails
    mkdirSync(join(`${path}.damaged`, 'in the way'), { recursive: true });
    const slots = new ModelSlots(path);
    expect(slots.problem).toMatch(/damaged/);
    expect(slots.get('g', 'base').current).toBe('base');
  });

  it('keeps separate slots for each configured model, so that switching back finds its fine-tuned models', () => {
    const slots = new ModelSlots(path);
    slots.stage('g', 'base', 'tuned');
    slots.promote('g', 'base', 0, 'better');
    slots.use('g', 'pushed', new Set(['base']));
    expect(slots.get('g', 'pushed')).toMatchObject({ current: 'pushed', previous: null });
    expect(new ModelSlots(path).get('g', 'base')).toMatchObject({ current: 'tuned', previous: 'base' });
    expect(slots.inUse()).toContain('tuned');
    slots.use('g', 'base', new Set());
    expect(new ModelSlots(path).get('g', 'base').current).toBe('tuned');
    expect(new ModelSlots(path).configuredOf('g')).toBe('base');
  });

  it('removes the slots of configured models that no rollback needs', () => {
    const slots = new ModelSlots(path);
    slots.stage('g', 'base', 'tuned');
    slots.promote('g', 'base', 0, 'better');
    slots.use('g', 'other', new Set());
    expect(new ModelSlots(path).get('g', 'base').current).toBe('base');
    expect(slots.inUse()).not.toContain('tuned');
  });

  it.each([
    ['the same model is configured', 'base', 'tuned'],
    ['nothing is known of the start before', null, 'tuned'],
    ['another model is configured now', 'other', 'base'],
  ])('reads a file of an older version; %s', (_, before, current) => {
    const former = { current: 'tuned', previous: 'base', candidate: null, probation: null, reason: '' };
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, JSON.stringify({ format: 1, groups: { g: former } }));
    const slots = new ModelSlots(path);
    expect(slots.problem).toBeNull();
    slots.use('g', 'base', new Set(), before);
    expect(slots.get('g', 'base').current).toBe(current);
    expect(new ModelSlots(path).get('g', 'base').current).toBe(current);
  });
});

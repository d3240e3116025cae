import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeFolder, sha256, writeFileAtomic } from '../../src/system/files.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();

describe('writeFileAtomic', () => {
  it('replaces the content and leaves nothing beside', () => {
    const dir = temp();
    const path = join(dir, 'a');
    writeFileAtomic(path, 'one');
    writeFileAtomic(path, Buffer.from('two'));
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(readdirSync(dir)).toEqual(['a']);
  });

  it('leaves the old content when it fails', () => {
    const dir = temp();
    const path = join(dir, 'a');
    mkdirSync(path);
    writeFileSync(join(path, 'inside'), 'kept');
    expect(() => writeFileAtomic(path, 'new')).toThrow();
    expect(readdirSync(dir)).toEqual(['a']);
    expect(readFileSync(join(path, 'inside'), 'utf8')).toBe('kept');
  });
});

it('sha256 is over the parts as one', () => {
  expect(sha256('ab', Buffer.from('c'))).toBe(
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
});

describe('makeFolder', () => {
  it('makes all that is missing, and nothing where all is there', () => {
    const path = join(temp(), 'a', 'b', 'c');
    makeFolder(path);
    writeFileSync(join(path, 'kept'), '');
    makeFolder(path);
    expect(readdirSync(path)).toEqual(['kept']);
  });

  it('says so where the system refuses, and does not hang', () => {
    const file = join(temp(), 'file');
    writeFileSync(file, '');
    expect(() => makeFolder(join(file, 'below'))).toThrow(/ENOTDIR|EEXIST/);
    if (process.platform === 'linux')
      expect(() => makeFolder('/proc/gatecast/below')).toThrow(/ENOENT|EACCES/);
  });
});

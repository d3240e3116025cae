import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareFolderOf, prepareOutput, writeOutput } from '../../src/system/output-file.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const unwritable = expect.objectContaining({ code: 'FILE_UNWRITABLE' });

describe('writeOutput', () => {
  it('writes as one and in parts, makes the folder, and replaces what was there', () => {
    const path = join(temp(), 'new', 'a.csv');
    writeOutput(path, ['one\n', 'two\n']);
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
    writeOutput(path, Buffer.from('three'));
    expect(readFileSync(path, 'utf8')).toBe('three');
    expect(readdirSync(join(path, '..'))).toEqual(['a.csv']);
  });

  it('leaves the old content, and nothing beside it, when a part fails', () => {
    const dir = temp();
    const path = join(dir, 'a.csv');
    writeFileSync(path, 'old');
    function* parts(): Generator<string> {
      yield 'half of the new one';
      throw new Error('no more');
    }
    expect(() => writeOutput(path, parts())).toThrow('no more');
    expect(readdirSync(dir)).toEqual(['a.csv']);
    expect(readFileSync(path, 'utf8')).toBe('old');
  });

  it('leaves a file as open, or as private, as it was', () => {
    const path = join(temp(), 'a.csv');
    for (const mode of [0o600, 0o664]) {
      writeFileSync(path, 'old');
      chmodSync(path, mode);
      writeOutput(path, 'new');
      expect(statSync(path).mode & 0o777).toBe(mode);
    }
  });

  it('writes through a link, which stays one', () => {
    const dir = temp();
    const [path, link] = [join(dir, 'a'), join(dir, 'link')];
    writeFileSync(path, 'old');
    symlinkSync(path, link);
    prepareOutput(link);
    writeOutput(link, 'new');
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(path, 'utf8')).toBe('new');
  });

  it.skipIf(!existsSync('/dev/null'))('writes to a device as it stands', () => {
    prepareOutput('/dev/null');
    writeOutput('/dev/null', ['some', 'thing']);
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  it('names what it cannot write', () => {
    const dir = temp();
    writeFileSync(join(dir, 'file'), '');
    expect(() => writeOutput(join(dir, 'file', 'x'), '')).toThrow(unwritable);
    expect(() => writeOutput(dir, '')).toThrow(unwritable);
  });
});

describe('prepareOutput', () => {
  it('makes the folder and leaves everything else as it is', () => {
    const dir = temp();
    writeFileSync(join(dir, 'a'), 'old');
    prepareOutput(join(dir, 'a'));
    prepareOutput(join(dir, 'new', 'b'));
    expect(readdirSync(dir)).toEqual(['a', 'new']);
    expect(readdirSync(join(dir, 'new'))).toEqual([]);
    expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('old');
  });

  it('refuses a folder, and what stands below a file', () => {
    const dir = temp();
    writeFileSync(join(dir, 'file'), '');
    expect(() => prepareOutput(dir)).toThrow(unwritable);
    expect(() => prepareOutput(join(dir, 'file', 'x'))).toThrow(unwritable);
    // A folder is what this one is for.
    prepareFolderOf(dir);
    expect(() => prepareFolderOf(join(dir, 'file', 'x'))).toThrow(unwritable);
    expect(() => prepareFolderOf(join(dir, 'file'))).toThrow(unwritable);
  });

  it('refuses a file that may not be written', () => {
    const path = join(temp(), 'a');
    writeFileSync(path, 'old');
    chmodSync(path, 0o400);
    // Root may write whatever its mode says, but for what the kernel itself keeps.
    const refused = process.getuid?.() === 0 ? '/proc/sys/kernel/random/boot_id' : path;
    expect(() => prepareOutput(refused)).toThrow(unwritable);
  });

  it.skipIf(!existsSync('/proc/self'))(
    'refuses what the system does not let it make, and does not hang',
    () => {
      expect(() => prepareOutput('/proc/gatecast/f.csv')).toThrow(unwritable);
    },
  );
});

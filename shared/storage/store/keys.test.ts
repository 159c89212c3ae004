import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ThawError } from '../../protocol/index.js';
import { checkKey, checkName, checkPrefix, maxKeyLength, maxPartLength } from './keys.js';

test('keys of the layout are accepted', () => {
  for (const key of ['runs/my-run_1.2/checkpoints/0000000001.json', `blobs/sha256/${'a'.repeat(64)}`, 'a', '-', '_x'])
    expect(() => checkKey(key)).not.toThrow();
});

test('no text that is accepted leads out of a folder or to a reserved name', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '.', '/', '\\', '~', '-', ' ', '\0', 'é'), maxLength: 12 });
  fc.assert(
    fc.property(text, (key) => {
      try {
        checkKey(key);
      } catch (error) {
        expect(error).toBeInstanceOf(ThawError);
        return;
      }
      for (const part of key.split('/')) expect(part).toMatch(/^[a-]/);
      expect(key).not.toMatch(/[~\\ \0é]/);
    }),
  );
});

test('lengths are limited', () => {
  expect(() => checkKey('x'.repeat(maxPartLength))).not.toThrow();
  expect(() => checkKey('x'.repeat(maxPartLength + 1))).toThrow(ThawError);
  expect(() => checkKey('x/'.repeat(maxKeyLength / 2) + 'x')).toThrow(ThawError);
});

test('prefixes may end anywhere in a key but not leave the store', () => {
  for (const prefix of ['', 'runs/', 'runs/a.', 'runs']) expect(() => checkPrefix(prefix)).not.toThrow();
  for (const prefix of ['/', '../', 'a//b', 'a/../', './', 'a b']) expect(() => checkPrefix(prefix)).toThrow(ThawError);
});

test('a name is one part of a key', () => {
  expect(() => checkName('run', 'my-run')).not.toThrow();
  for (const name of ['', 'a/b', '..', '.x', 'a b', 'x'.repeat(101)])
    expect(() => checkName('run', name)).toThrow(ThawError);
});

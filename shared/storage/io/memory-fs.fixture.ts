/** A POSIX folder in memory whose every system call waits for a scheduler: all interleavings and deaths are in the test's hand. */
import { dirname } from 'node:path';
import type { FileFacts, FolderFs } from './folder-fs.js';

interface Inode {
  readonly number: bigint;
  /** Of a folder: no bytes. */
  bytes: Uint8Array | undefined;
  modifiedNs: bigint;
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

export class MemoryFs {
  readonly #names = new Map<string, Inode>([['/', { number: 1n, bytes: undefined, modifiedNs: 0n }]]);
  #inodes = 1n;

  /** The system calls as one process makes them: `before` is awaited ahead of each. */
  process(before: (call: string) => Promise<void>): FolderFs {
    const at = (path: string): Inode => {
      const inode = this.#names.get(path);
      if (inode === undefined) throw failure('ENOENT', path);
      return inode;
    };
    const facts = ({ number, bytes, modifiedNs }: Inode): FileFacts => ({
      isFile: bytes !== undefined,
      inode: number,
      size: bytes?.byteLength ?? 0,
      modifiedNs,
    });
    const add = (path: string, inode: Inode): void => {
      if (at(dirname(path)).bytes !== undefined) throw failure('ENOTDIR', path);
      if (this.#names.has(path)) throw failure('EEXIST', path);
      this.#names.set(path, inode);
    };
    const fresh = (bytes: Uint8Array | undefined): Inode => ({ number: ++this.#inodes, bytes, modifiedNs: 0n });
    return {
      makeFolder: async (path) => {
        await before('mkdir');
        add(path, fresh(undefined));
      },
      readFolder: async (path) => {
        await before('readdir');
        at(path);
        const children = [...this.#names].filter(([name]) => name !== '/' && dirname(name) === path);
        return children.map(([name, { bytes }]) => ({
          name: name.slice(path === '/' ? 1 : path.length + 1),
          isFolder: bytes === undefined,
        }));
      },
      syncFolder: async () => before('fsync folder'),
      createFile: async (path) => {
        await before('create');
        const inode = fresh(new Uint8Array());
        add(path, inode);
        return {
          write: async (bytes) => {
            // Two halves, so that a death in between leaves a torn file.
            await before('write');
            inode.bytes = bytes.slice(0, bytes.byteLength >> 1);
            await before('write');
            inode.bytes = bytes.slice();
          },
          setModified: async (modifiedMs) => {
            inode.modifiedNs = BigInt(Math.round(modifiedMs * 1e6));
          },
          sync: () => before('fsync'),
          facts: async () => facts(inode),
          close: async () => {},
        };
      },
      readFile: async (path, range) => {
        await before('open');
        const inode = at(path);
        await before('read');
        if (inode.bytes === undefined) throw failure('EISDIR', path);
        const begin = range?.offset ?? 0;
        const end = range === undefined ? undefined : begin + range.length;
        return { bytes: inode.bytes.slice(begin, end), facts: facts(inode) };
      },
      facts: async (path) => {
        await before('stat');
        return facts(at(path));
      },
      link: async (from, to) => {
        await before('link');
        if (at(from).bytes === undefined) throw failure('EPERM', from);
        add(to, at(from));
      },
      rename: async (from, to) => {
        await before('rename');
        const inode = at(from);
        if (this.#names.get(to)?.bytes === undefined && this.#names.has(to)) throw failure('EISDIR', to);
        this.#names.set(to, inode);
        this.#names.delete(from);
      },
      unlink: async (path) => {
        await before('unlink');
        if (at(path).bytes === undefined) throw failure('EISDIR', path);
        this.#names.delete(path);
      },
    };
  }

  /** Paths of all files. */
  files(): string[] {
    return [...this.#names].filter(([, { bytes }]) => bytes !== undefined).map(([path]) => path);
  }
}

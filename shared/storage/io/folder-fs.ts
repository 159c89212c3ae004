/**
 * The system calls that the folder adapter makes, one method each, so that a test can stop a writer between any two of them.
 * Paths are absolute.
 */
import { constants } from 'node:fs';
import { link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';

export interface FileFacts {
  readonly isFile: boolean;
  readonly inode: bigint;
  readonly size: number;
  readonly modifiedNs: bigint;
}

export interface FolderEntry {
  readonly name: string;
  readonly isFolder: boolean;
}

export interface WritableFile {
  write(bytes: Uint8Array): Promise<void>;
  setModified(modifiedMs: number): Promise<void>;
  sync(): Promise<void>;
  facts(): Promise<FileFacts>;
  close(): Promise<void>;
}

export interface FolderFs {
  makeFolder(path: string): Promise<void>;
  readFolder(path: string): Promise<FolderEntry[]>;
  syncFolder(path: string): Promise<void>;
  /** A new file; EEXIST if the name is taken. */
  createFile(path: string): Promise<WritableFile>;
  /** Whole content, or the range cut at the end of the file, with the facts of the same open file. */
  readFile(path: string, range?: { offset: number; length: number }): Promise<{ bytes: Uint8Array; facts: FileFacts }>;
  facts(path: string): Promise<FileFacts>;
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
}

/** The error code of a failed system call (`ENOENT`, ...), or undefined for any other value. */
export function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

type Stats = Awaited<ReturnType<typeof statBig>>;
const statBig = (path: string) => stat(path, { bigint: true });

function factsOf(stats: Stats): FileFacts {
  return { isFile: stats.isFile(), inode: stats.ino, size: Number(stats.size), modifiedNs: stats.mtimeNs };
}

async function readWhole(
  path: string,
  range: { offset: number; length: number } | undefined,
): Promise<{ bytes: Uint8Array; facts: FileFacts }> {
  const file = await open(path, constants.O_RDONLY);
  try {
    const facts = factsOf(await file.stat({ bigint: true }));
    const begin = Math.min(range?.offset ?? 0, facts.size);
    const length = Math.min(range?.length ?? facts.size, facts.size - begin);
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(bytes, done, length - done, begin + done);
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
      done += bytesRead;
    }
    return { bytes, facts };
  } finally {
    await file.close();
  }
}

async function createWritable(path: string): Promise<WritableFile> {
  const file = await open(path, 'wx', 0o644);
  return {
    async write(bytes) {
      await file.writeFile(bytes);
    },
    async setModified(modifiedMs) {
      await file.utimes(modifiedMs / 1000, modifiedMs / 1000);
    },
    sync: () => file.sync(),
    facts: async () => factsOf(await file.stat({ bigint: true })),
    close: () => file.close(),
  };
}

export const nodeFs: FolderFs = {
  makeFolder: (path) => mkdir(path, 0o755),
  async readFolder(path) {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
  },
  async syncFolder(path) {
    const folder = await open(path, constants.O_RDONLY);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
  createFile: createWritable,
  readFile: readWhole,
  facts: async (path) => factsOf(await statBig(path)),
  link,
  rename,
  unlink,
};

/** Checking a channel's log as an auditor does: every record, every link, every signature, and an anchor if there is one. */
import { ThawError } from '../../protocol/index.js';
import type { CheckpointRef } from '../checkpoints/manifest.js';
import type { ObjectStore } from '../store/index.js';
import { headAfter, readRecord } from './log.js';
import type { StoredRecord } from './record.js';
import { channelPrefix, seqOfKey } from './record.js';
import type { RecordVerifier } from './signing.js';

export interface VerifyOptions {
  /** Keys whose signatures count. If any is given, every record must carry a signature of one of them. */
  readonly verifiers?: readonly RecordVerifier[];
  /**
   * A head that was noted elsewhere (a service log): the log must still contain it, at its place if that was noted as well. Without one, a
   * cut-off end cannot be seen.
   */
  readonly anchor?: { readonly seq?: number | undefined; readonly sha256: string };
}

export interface ChainProblem {
  readonly seq: number;
  readonly problem: string;
}

export interface ChainReport {
  readonly channel: string;
  readonly ok: boolean;
  readonly records: number;
  /** Records that carry a signature, whether it was checked or not. */
  readonly signed: number;
  /** To be noted as an anchor. */
  readonly head: { readonly seq: number; readonly sha256: string } | undefined;
  readonly problems: readonly ChainProblem[];
}

/** Recomputes the chain from its first record. Never throws for what it finds in the log; that is what `problems` is for. */
export async function verifyChain(
  store: ObjectStore,
  channel: string,
  options: VerifyOptions = {},
): Promise<ChainReport> {
  const problems: ChainProblem[] = [];
  const present = new Set<number>();
  for await (const { key } of store.list(`${channelPrefix(channel)}log/`)) {
    const seq = seqOfKey(key);
    if (seq === undefined || seq === 0) problems.push({ seq: 0, problem: `${key} is no record` });
    else present.add(seq);
  }
  const last = Math.max(0, ...present);
  let previous: StoredRecord | undefined;
  let head: ChainReport['head'];
  let [signed, anchored] = [0, false];
  for (let seq = 1; seq <= last; seq += 1) {
    const note = (problem: string): number => problems.push({ seq, problem });
    const stored = present.has(seq)
      ? await readStored(store, channel, seq, note)
      : (note('the record is missing'), undefined);
    if (stored !== undefined) {
      if (seq === 1 || previous !== undefined) for (const problem of linkProblems(previous, stored)) note(problem);
      const unsigned = signatureProblem(stored, options.verifiers ?? []);
      if (unsigned !== undefined) note(unsigned);
      head = { seq, sha256: stored.sha256 };
      if (stored.record.signature !== undefined) signed += 1;
      anchored ||= options.anchor?.sha256 === stored.sha256;
      if (options.anchor?.seq === seq && options.anchor.sha256 !== stored.sha256)
        note(
          `the record is not the one that the anchor names: its hash is ${stored.sha256}, the anchor's ${options.anchor.sha256}`,
        );
    }
    previous = stored;
  }
  if (options.anchor?.seq !== undefined && options.anchor.seq > last)
    problems.push({ seq: options.anchor.seq, problem: 'the log ends before the record that the anchor names' });
  else if (options.anchor !== undefined && options.anchor.seq === undefined && !anchored)
    problems.push({ seq: last, problem: `no record has the hash that the anchor names, ${options.anchor.sha256}` });
  return { channel, ok: problems.length === 0, records: present.size, signed, head, problems };
}

async function readStored(
  store: ObjectStore,
  channel: string,
  seq: number,
  note: (problem: string) => void,
): Promise<StoredRecord | undefined> {
  try {
    const stored = await readRecord(store, channel, seq);
    if (stored === undefined) note('the record is missing');
    return stored;
  } catch (error) {
    if (!(error instanceof ThawError) || error.code !== 'THAW_CHANNEL_CORRUPT') throw error;
    note(error.message);
    return undefined;
  }
}

/** What is wrong between a record and the one before it. Pure. */
export function linkProblems(previous: StoredRecord | undefined, { record }: StoredRecord): string[] {
  const problems: string[] = [];
  const expected = previous?.sha256 ?? null;
  if (record.previous !== expected)
    problems.push(`the record names ${record.previous} as its predecessor, but that one's hash is ${expected}`);
  if (record.timeMs < (previous?.record.timeMs ?? 0)) problems.push('the record is older than the one before it');
  const head = headAfter(previous?.record.head ?? null, record);
  if (!equalRefs(head, record.head)) problems.push('the head that the record states does not follow from its action');
  return problems;
}

function signatureProblem({ record }: StoredRecord, verifiers: readonly RecordVerifier[]): string | undefined {
  if (verifiers.length === 0) return undefined;
  if (record.signature === undefined) return 'the record is not signed';
  const verifier = verifiers.find((candidate) => candidate.keyId === record.signature?.keyId);
  if (verifier === undefined) return `the record is signed with the unknown key ${record.signature.keyId}`;
  return verifier.verify(record) ? undefined : 'the signature does not fit the record';
}

function equalRefs(a: CheckpointRef | null, b: CheckpointRef | null): boolean {
  return a?.run === b?.run && a?.step === b?.step && a?.manifestSha256 === b?.manifestSha256;
}

/** Frames that came before this trainer was ready for them: the next steps, or a generation it has not read yet. Bounded. */
import type { BulkFrame } from '@thaw/shared/protocol';

/** How far ahead of the present boundary frames are kept: what is published while a snapshot is under way is not lost. */
export const earlySteps = 16;

export class EarlyFrames {
  private readonly maxBytes: number;
  private frames = new Map<string, BulkFrame>();
  private bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Keeps a frame that nobody else will write to; the newest generation of equal ones wins. */
  hold(frame: BulkFrame): void {
    const key = `${frame.step}/${frame.chunk}/${frame.type}/${frame.type === 'total' ? '' : frame.source}`;
    const known = this.frames.get(key);
    if (known !== undefined && (known.generation >= frame.generation || frame.type === 'total')) return;
    const size = frame.data.byteLength + 256;
    if (this.bytes + size > this.maxBytes) return;
    this.bytes += size - (known === undefined ? 0 : known.data.byteLength + 256);
    this.frames.set(key, frame);
  }

  get size(): number {
    return this.frames.size;
  }

  /** Takes out everything, oldest step first. */
  takeAll(): BulkFrame[] {
    const all = [...this.frames.values()].sort((a, b) => a.step - b.step);
    this.frames = new Map();
    this.bytes = 0;
    return all;
  }
}

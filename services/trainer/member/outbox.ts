/** Collects the effects of one event. */
import { encodeFrame, frame, runHash, type BulkFrame, type ErrorCode } from '@thaw/shared/protocol';
import type { TrainerEffect } from './events.js';

export class Outbox {
  private readonly run: string;
  private readonly source: string;
  private effects: TrainerEffect[] = [];
  /** Carried by every frame, so that whoever has an older plan notices. */
  generation = 0;

  constructor(run: string, source: string) {
    this.run = runHash(run);
    this.source = source;
  }

  get runHash(): string {
    return this.run;
  }

  push(effect: TrainerEffect): void {
    this.effects.push(effect);
  }
  /** `data` and `exponents` in `fields` are not written to any more by the caller. */
  send(
    to: 'all' | { readonly id: string },
    fields: Pick<BulkFrame, 'type' | 'kind' | 'step'> & Partial<BulkFrame>,
  ): void {
    const parts = encodeFrame(frame({ ...fields, run: this.run, source: this.source, generation: this.generation }));
    this.effects.push({ kind: 'sendFrame', to, type: fields.type, parts });
  }
  alarm(code: ErrorCode, message: string): void {
    this.effects.push({ kind: 'alarm', code, message });
  }
  takeAll(): TrainerEffect[] {
    const all = this.effects;
    this.effects = [];
    return all;
  }
}

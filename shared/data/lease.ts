/** The lease: what lets a trainer open shards. Its schema is the message's (protocol); needs no tensor library. */
import type { LeaseMessage, LeaseRead } from '@thaw/shared/protocol';

export { LeaseReadSchema, LeaseSchema } from '@thaw/shared/protocol';

/**
 * The right and duty to compute `lane` in the steps `firstStep .. firstStep + stepCount - 1`, all of one `epoch`, given
 * by the plan of `generation`; a newer plan takes it back. `reads` is what is read, in order: `offset` and `count` are
 * positions in the order the shard has in that epoch (permuted by seed, epoch and shard, see `sampleOrder`).
 */
export type Lease = LeaseMessage;
export type { LeaseRead };

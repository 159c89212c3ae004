/** What may happen to a message on its way; a pure function of the seed, so that a failing schedule replays. */
import { philox4x32 } from '@thaw/shared/runtime';

/** One message to one receiver. */
export interface Passage {
  readonly kind: 'control' | 'bulk';
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  readonly bytes: number;
  /** Counts every passage of the broker, from 0. */
  readonly index: number;
}

export interface Fate {
  readonly lost?: boolean;
  /** Added to the broker's latency. Later messages of the same sender to the same receiver wait behind it, as in TCP. */
  readonly delayMs?: number;
  /** Delivered once more, right behind. */
  readonly twice?: boolean;
}

export type Faults = (passage: Passage) => Fate;

export interface SeededFaultOptions {
  readonly seed: number;
  /** Probabilities in [0, 1]. */
  readonly lossRate?: number;
  readonly duplicateRate?: number;
  readonly minDelayMs?: number;
  readonly maxDelayMs?: number;
  /** Which passages may be harmed; all by default. */
  readonly only?: (passage: Passage) => boolean;
}

const faultKey = 0x6e657473; // "nets": apart from every other use of the seed
const two32 = 2 ** 32;

export function seededFaults(options: SeededFaultOptions): Faults {
  const { lossRate = 0, duplicateRate = 0, minDelayMs = 0, maxDelayMs = minDelayMs } = options;
  return (passage) => {
    if (options.only && !options.only(passage)) return {};
    const [loss, duplicate, delay] = philox4x32(
      [passage.index >>> 0, Math.floor(passage.index / two32), 0, 0],
      [options.seed >>> 0, faultKey],
    );
    return {
      lost: loss / two32 < lossRate,
      twice: duplicate / two32 < duplicateRate,
      delayMs: minDelayMs + (delay / two32) * (maxDelayMs - minDelayMs),
    };
  };
}

/** What the coordinator tells people: the body of `GET /v1/status` and of the `status` event. The page and the CLI read it. */
import { z } from 'zod';

const RatioSchema = z.object({
  sampled: z.number(),
  direct: z.number(),
  degraded: z.number(),
  black: z.number(),
  mean: z.number(),
  ratio: z.number(),
});

export const StatusSchema = z.object({
  run: z.string(),
  /** waiting: no trainer yet; running; finished: all steps done and their checkpoint written; halted: too many non-finite steps. */
  state: z.enum(['waiting', 'running', 'finished', 'halted', 'standby']),
  reason: z.string(),
  /** Committed optimizer steps. */
  step: z.int(),
  steps: z.int(),
  epoch: z.int(),
  laneCount: z.int(),
  generation: z.int().optional(),
  leader: z.string().optional(),
  imagesPerSecond: z.number(),
  etaSeconds: z.number().nullable(),
  /** Means of the first and of the last 10 losses of the run, null before the first step. */
  lossFirst: z.number().nullable(),
  lossLast: z.number().nullable(),
  skippedSteps: z.int(),
  trainers: z.array(z.object({ id: z.string(), lanes: z.array(z.int()), step: z.int(), imagesPerSecond: z.number() })),
  checkpoints: z.array(
    z.object({
      step: z.int(),
      weightsSha256: z.string(),
      createdMs: z.number(),
      l1Ratio: z.number().optional(),
      rmseRatio: z.number().optional(),
    }),
  ),
  channels: z.array(
    z.object({
      name: z.string(),
      run: z.string(),
      step: z.int(),
      seq: z.int(),
      action: z.string(),
      sha256: z.string(),
    }),
  ),
  evaluation: z.object({ step: z.int(), count: z.int(), l1: RatioSchema, rmse: RatioSchema }).optional(),
});
export type Status = z.infer<typeof StatusSchema>;

/** One committed step as the page draws it. */
export interface StepPoint {
  readonly step: number;
  readonly loss: number | null;
  readonly imagesPerSecond: number | null;
}

/** Scalars that many messages carry. */
import { z } from 'zod';

/**
 * A trainer's id: its name and a random incarnation, `<name>-<hex>`. A restarted process is another trainer (rule 6).
 * Used as a NATS subject token, so only lower-case letters, digits and hyphens.
 */
export const TrainerIdSchema = z.string().regex(/^[a-z0-9][a-z0-9-]{0,94}[a-z0-9]$/, 'not a trainer id');
/** Hexadecimal SHA-256. */
export const Sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in lower-case hexadecimal');
/** Number of committed steps = index of the step that comes next; also "boundary k": the state before step k. */
export const StepSchema = z.int().min(0).max(0xffffffff);
/** Number of a plan; the fence of contributions. 0: no plan yet. */
export const GenerationSchema = z.int().min(0).max(0xffffffff);
/** 0..M-1. */
export const LaneSchema = z.int().min(0).max(65_535);
/** What must be equal for equal bits (design section 4); opaque here. */
export const FingerprintSchema = z.string().min(1).max(256);

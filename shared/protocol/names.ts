/** Names of runs, data sets and channels. */
import { z } from 'zod';

export const runNamePattern = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
/** A name that is used in object keys and NATS subjects: lower-case letters, digits, inner hyphens, at most 64. */
export const NameSchema = z
  .string()
  .regex(runNamePattern, 'use lower-case letters, digits and inner hyphens, at most 64 characters');

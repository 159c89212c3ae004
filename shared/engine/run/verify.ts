import { ThawError } from '@thaw/shared/protocol';
import { programDigest } from '../lower/index.js';
import type { EngineDescription, Program } from '../types.js';

/**
 * Refuses a program that was kept somewhere and is not what it says, or was lowered for another engine.
 * Errors: THAW_ENGINE_PROGRAM_CORRUPT.
 */
export function verifyProgram(program: Program, engine: EngineDescription): void {
  const refuse = (problem: string): never => {
    throw new ThawError('THAW_ENGINE_PROGRAM_CORRUPT', `program '${program.name}' is not loaded: ${problem}`);
  };
  const digest = programDigest(program);
  if (digest !== program.digest) refuse(`its graph and tables have the SHA-256 ${digest}, not ${program.digest}`);
  if (program.loweringVersion !== engine.loweringVersion)
    refuse(`lowering version ${program.loweringVersion} made it; this engine has version ${engine.loweringVersion}`);
  const { blockSize } = engine.blockedConv;
  // Blocks of another size give wrong numbers without an error.
  if (program.blockedConv !== false && program.blockedConv !== blockSize)
    refuse(
      `it wants convolutions in blocks of ${program.blockedConv}; the self-test here found ${blockSize || 'none'}`,
    );
}

import { ThawError, type EngineName } from '@thaw/shared/protocol';
import { onnxProviders } from './kinds/onnx.js';
import { tfjsProviders } from './kinds/tfjs.js';
import type { EngineProvider } from './kinds/kind.js';
import { engineKinds } from './types.js';
import type { Engine, EngineAvailability, EngineKind } from './types.js';

export interface EngineOptions {
  /** `auto`: onnx-cpu where ONNX Runtime runs, else tfjs-wasm; `describe().reason` says which and why. */
  readonly kind?: EngineName;
  /** Worker threads, each with every program. Default 1, and no more on tfjs-node and tfjs-node-gpu. */
  readonly workers?: number;
}

const providers: readonly EngineProvider[] = [...onnxProviders, ...tfjsProviders];

/** What `auto` takes: the first one that can be used. */
export const autoKinds = ['onnx-cpu', 'tfjs-wasm'] as const satisfies readonly EngineKind[];

/**
 * Opens an engine; the caller closes it. An engine that was asked for is never replaced by another.
 * Errors: THAW_ENGINE_UNAVAILABLE with the reason.
 */
export async function openEngine({ kind = 'auto', workers = 1 }: EngineOptions = {}): Promise<Engine> {
  if (!Number.isSafeInteger(workers) || workers < 1 || workers > 256)
    throw new ThawError('THAW_CONFIG_INVALID', `an engine has 1 to 256 workers, not ${workers}`);
  if (kind !== 'auto') return providerOf(kind).open({ workers, reason: 'asked for' });
  const [best, fallback] = autoKinds;
  try {
    return await providerOf(best).open({ workers, reason: 'auto: ONNX Runtime runs on this machine' });
  } catch (error) {
    if (!(error instanceof ThawError && error.code === 'THAW_ENGINE_UNAVAILABLE')) throw error;
    return providerOf(fallback).open({ workers, reason: `auto: ${error.message}` });
  }
}

/** Tries every engine out and says what is available and why not. */
export async function doctor(): Promise<EngineAvailability[]> {
  const answers: EngineAvailability[] = [];
  for (const kind of engineKinds) answers.push(await providerOf(kind).check());
  return answers;
}

function providerOf(kind: EngineKind): EngineProvider {
  const provider = providers.find((candidate) => candidate.kind === kind);
  if (provider === undefined)
    throw new ThawError('THAW_ENGINE_UNAVAILABLE', `there is no engine called '${kind}'`, {
      cure: `Choose one of ${engineKinds.join(', ')}, or auto.`,
    });
  return provider;
}

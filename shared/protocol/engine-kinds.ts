import { z } from 'zod';

/** The engines by name, in the order in which `auto` would like them. What they are: `shared/engine`. */
export const engineKinds = ['onnx-cpu', 'onnx-cuda', 'onnx-webgpu', 'tfjs-node-gpu', 'tfjs-node', 'tfjs-wasm'] as const;
export type EngineKind = (typeof engineKinds)[number];

/** What a configuration or a command may ask for. */
export const engineNames = ['auto', ...engineKinds] as const;
export const EngineNameSchema = z.enum(engineNames);
export type EngineName = z.infer<typeof EngineNameSchema>;

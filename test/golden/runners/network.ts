/** The whole U-Net and its blocks: outputs and gradients. */
import * as tf from '@tensorflow/tfjs-core';
import { reconstructionLoss } from '@thaw/shared/diffusion';
import type { ParameterSpec, Weights } from '@thaw/shared/model';
import {
  channelNorm,
  channelNormSpecs,
  convNextBlock,
  convNextBlockSpecs,
  downsample,
  downsampleSpecs,
  fromOfficial,
  linearAttention,
  linearAttentionSpecs,
  network as networkOf,
  networkWeightSpecs,
  parameterCount,
  toOfficial,
  unet,
  unetWeightSpecs,
  upsample,
  upsampleSpecs,
} from '@thaw/shared/model';
import { DdpmUnetConfigSchema, UnetConfigSchema } from '@thaw/shared/protocol';
import type { GoldenCase } from '../vectors.js';
import { fromNchw, withTensors } from './images.js';
import type { Runner } from './runner.js';

type Specs = Record<string, ParameterSpec>;

/** Golden parameters as tensors in model layout; names and official shapes must be exactly those of the specs. */
function loadWeights(golden: GoldenCase, specs: Specs): Record<string, tf.Tensor> {
  const given = golden.group('param:*');
  const describe = (entries: [string, readonly number[]][]): string => JSON.stringify(entries);
  const wanted = describe([...given].map(([name, tensor]) => [name, tensor.shape]));
  const made = describe(Object.entries(specs).map(([name, spec]) => [name, spec.officialShape]));
  if (wanted !== made) throw new Error(`parameters differ:\nofficial ${wanted}\nmodel    ${made}`);
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      tf.tensor(fromOfficial(spec, Float32Array.from(given.get(name)!.data)), [...spec.modelShape]),
    ]),
  );
}

const asNchw = (x: tf.Tensor): Float32Array => tf.transpose(x, [0, 3, 1, 2]).dataSync() as Float32Array;

const images = (golden: GoldenCase, name: string): tf.Tensor4D => {
  const { data, shape } = fromNchw(golden.input(name));
  return tf.tensor4d(data, shape);
};

/** A network without time may come without them. */
const stepIndices = (golden: GoldenCase, x: tf.Tensor4D): tf.Tensor1D =>
  tf.tensor1d(golden.has('t') ? golden.integers('t') : new Array<number>(x.shape[0]).fill(0));

/** Value and gradients of f for all weights, in the order of the specs. */
function differentiate(
  weights: Record<string, tf.Tensor>,
  f: (weights: Weights) => tf.Scalar,
): { value: tf.Scalar; grads: Record<string, tf.Tensor> } {
  const names = Object.keys(weights);
  const { value, grads } = tf.valueAndGrads((...tensors: tf.Tensor[]) =>
    f(Object.fromEntries(names.map((name, i) => [name, tensors[i]!]))),
  )(Object.values(weights));
  return { value: value as tf.Scalar, grads: Object.fromEntries(names.map((name, i) => [name, grads[i]!])) };
}

export const network: Runner = {
  covers: /^unet\//,
  run: (golden) =>
    withTensors(() => {
      const { params } = golden;
      const config = UnetConfigSchema.parse({
        kind: 'convnext-unet',
        dim: params.dim,
        mults: params.dim_mults,
        timeEmbedding: params.with_time_emb,
        residual: params.residual,
        outputMeanScale: params.output_mean_scale,
      });
      const specs = unetWeightSpecs(config, params.channels as number);
      if (params.parameters !== undefined && parameterCount(specs) !== params.parameters)
        throw new Error(`${parameterCount(specs)} parameters instead of ${params.parameters}`);
      const weights = loadWeights(golden, specs);
      const x = images(golden, 'x');
      const t = stepIndices(golden, x);
      const outputs: Record<string, ArrayLike<number>> = {};
      const observed = ['sinusoid', 'time', 'block0', 'skip0', 'mid', 'up0'];
      const y = unet(weights, x, t, config, (name, value) => {
        if (observed.includes(name))
          outputs[name] = value.rank === 4 ? asNchw(value) : (value.dataSync() as Float32Array);
      });
      outputs.y = asNchw(y);
      const target = images(golden, 'target');
      const { value, grads } = differentiate(weights, (w) => reconstructionLoss(target, unet(w, x, t, config), 'l1'));
      outputs.loss = value.dataSync() as Float32Array;
      const norms: number[] = [];
      for (const [name, spec] of Object.entries(specs)) {
        const gradient = toOfficial(spec, grads[name]!.dataSync() as Float32Array);
        norms.push(Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0)));
        outputs[`grad:${name}`] = gradient;
      }
      outputs.grad_norms = norms;
      return outputs;
    }),
};

export const ddpm: Runner = {
  covers: /^ddpm\//,
  run: (golden) =>
    withTensors(() => {
      const { params } = golden;
      const config = DdpmUnetConfigSchema.parse({
        kind: 'ddpm-unet',
        dim: params.ch,
        mults: params.ch_mult,
        blocks: params.num_res_blocks,
        attentionSizes: params.attn_resolutions,
        dropout: params.dropout,
        timeEmbedding: params.with_time_emb,
      });
      const specs = networkWeightSpecs(config, {
        size: params.resolution as number,
        channels: params.in_channels as number,
      });
      if (params.parameters !== undefined && parameterCount(specs) !== params.parameters)
        throw new Error(`${parameterCount(specs)} parameters instead of ${params.parameters}`);
      const weights = loadWeights(golden, specs);
      const [x, target] = [images(golden, 'x'), images(golden, 'target')];
      const t = tf.tensor1d(golden.integers('t'), 'float32');
      const y = networkOf(weights, x, t, config);
      const { value, grads } = differentiate(weights, (w) =>
        reconstructionLoss(target, networkOf(w, x, t, config), 'l1'),
      );
      const norm = (data: Float32Array): number => Math.sqrt(data.reduce((sum, g) => sum + g * g, 0));
      return {
        y: asNchw(y),
        loss: value.dataSync() as Float32Array,
        grad_norms: Object.keys(specs).map((name) => norm(grads[name]!.dataSync() as Float32Array)),
      };
    }),
};

interface Block {
  readonly specs: Specs;
  apply(weights: Weights, x: tf.Tensor4D): tf.Tensor4D;
}

function blockOf(golden: GoldenCase): Block {
  const {
    kind,
    args,
    time_dim: timeWidth,
    norm = true,
  } = golden.params as { kind: string; args: number[]; time_dim?: number; norm?: boolean };
  const specs: Specs = {};
  const [inputs, outputs] = args as [number, number];
  switch (kind) {
    case 'ConvNextBlock': {
      convNextBlockSpecs(specs, '', { inputs, outputs, timeWidth, norm });
      const time = golden.has('time')
        ? tf.tensor2d(golden.floats('time'), golden.input('time').shape as [number, number])
        : undefined;
      return { specs, apply: (weights, x) => convNextBlock(weights, '', x, time) };
    }
    case 'LinearAttention':
      linearAttentionSpecs(specs, '', inputs);
      return { specs, apply: (weights, x) => linearAttention(weights, '', x) };
    // The layers below put their name in front of `.weight`; alone they have no name.
    case 'Downsample':
      downsampleSpecs(specs, 'layer', inputs);
      return { specs, apply: (weights, x) => downsample(weights, 'layer', x) };
    case 'Upsample':
      upsampleSpecs(specs, 'layer', inputs);
      return { specs, apply: (weights, x) => upsample(weights, 'layer', x) };
    case 'LayerNorm':
      channelNormSpecs(specs, 'layer', inputs);
      return { specs, apply: (weights, x) => channelNorm(weights, 'layer', x) };
    default:
      throw new Error(`unknown block ${kind}`);
  }
}

export const blocks: Runner = {
  covers: /^block\//,
  run: (golden) =>
    withTensors(() => {
      const block = blockOf(golden);
      const bare = (name: string): string => name.replace(/^layer\./, '');
      const named = Object.fromEntries(Object.entries(block.specs).map(([name, spec]) => [bare(name), spec]));
      const loaded = loadWeights(golden, named);
      const weights = Object.fromEntries(Object.keys(block.specs).map((name) => [name, loaded[bare(name)]!]));
      const x = images(golden, 'x');
      const cotangent = images(golden, 'cotangent');
      const { grads } = differentiate({ ...weights, x }, (given) =>
        tf.sum(tf.mul(block.apply(given, given.x as tf.Tensor4D), cotangent)),
      );
      const outputs: Record<string, ArrayLike<number>> = {
        y: asNchw(block.apply(weights, x)),
        grad_x: asNchw(grads.x!),
      };
      for (const [name, spec] of Object.entries(block.specs))
        outputs[`grad:${bare(name)}`] = toOfficial(spec, grads[name]!.dataSync() as Float32Array);
      return outputs;
    }),
};

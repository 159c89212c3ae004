import { describe, expect, it } from 'vitest';
import {
  decodeMessage,
  encodeMessage,
  ChannelMovedSchema,
  EvaluateRequestSchema,
  EvaluateResultSchema,
  FramesAnswerSchema,
  FramesRequestSchema,
  PlayAnswerSchema,
  PlayRequestSchema,
  samplerSubjects,
  ThawError,
  type EvaluateResult,
  type FramesAnswer,
  type JobSpec,
  type SamplerEvent,
} from '@thaw/shared/protocol';
import { silentLogger, systemClock } from '@thaw/shared/runtime';
import { MemoryStore } from '@thaw/shared/storage';
import { MemoryBroker } from '@thaw/shared/transport';
import { parseJobRequest } from '../jobs/index.js';
import type { Playground, SamplerMesh } from '../ports.js';
import { startHarness, until } from '../sampler.fixture.js';
import { controlMesh, MemoryMeshHub } from './index.js';

const spec: JobSpec = {
  format: 'thaw.job/1',
  id: 'a'.repeat(32),
  acceptedMs: 0,
  mode: 'sample',
  count: 4,
  seed: 0,
  version: { run: 'demo', step: 1, manifestSha256: 'b'.repeat(64) },
  sampler: 'algorithm2',
  severities: [2, 1],
  degrade: true,
  test: { dataset: 'fake', indices: [3, 1, 4, 2] },
};
const scores = { degraded: 1, black: 2, mean: 3, direct: 0.5, sampled: 0.4 };
const result: EvaluateResult = {
  format: 'thaw.evaluation/1',
  run: 'demo',
  step: 1,
  manifestSha256: 'b'.repeat(64),
  dataset: 'fake',
  split: 'test',
  count: 2,
  severity: 2,
  l1: { ...scores, ratio: 0.4 },
  rmse: { ...scores, ratio: 0.4 },
  ssim: scores,
  psnr: scores,
  sampler: 'one',
  evaluatedMs: 5,
  durationMs: 6,
};

interface Ground {
  readonly playground: Playground;
  join(name: string): SamplerMesh;
  evaluate(): Promise<EvaluateResult>;
  onEvaluation(handler: (result: EvaluateResult) => void): void;
  channelMoved(channel: string): void;
}

const grounds: Record<string, () => Ground> = {
  'in memory': () => {
    const hub = new MemoryMeshHub();
    return {
      join: () => hub.join(),
      evaluate: () => hub.evaluate({ run: 'demo', step: 1, split: 'test', count: 2 }),
      playground: hub.playground,
      onEvaluation: (handler) => hub.onEvaluation(handler),
      channelMoved: (channel) => hub.channelMoved(channel),
    };
  },
  'over the control link': () => {
    const broker = new MemoryBroker(systemClock);
    const outside = broker.connectControl({ name: 'coordinator' });
    const meshOf = (name: string): SamplerMesh =>
      controlMesh(broker.connectControl({ name }), { name, logger: silentLogger, offerTimeoutMs: 20_000 });
    return {
      join: meshOf,
      evaluate: async () => {
        const request = encodeMessage(EvaluateRequestSchema, { run: 'demo', step: 1, split: 'test', count: 2 });
        return decodeMessage(
          EvaluateResultSchema,
          await outside.request(samplerSubjects.evaluate, request, { timeoutMs: 20_000 }),
        );
      },
      playground: {
        start: async (request) =>
          decodeMessage(
            PlayAnswerSchema,
            await outside.request(samplerSubjects.play, encodeMessage(PlayRequestSchema, request), {
              timeoutMs: 20_000,
            }),
          ),
        frames: async (request) =>
          decodeMessage(
            FramesAnswerSchema,
            await outside.request(samplerSubjects.frames, encodeMessage(FramesRequestSchema, request), {
              timeoutMs: 20_000,
            }),
          ),
      },
      onEvaluation: (handler) =>
        outside.subscribe(samplerSubjects.evaluated, (bytes) => handler(decodeMessage(EvaluateResultSchema, bytes))),
      channelMoved: (channel) =>
        outside.publish(samplerSubjects.channelMoved, encodeMessage(ChannelMovedSchema, { channel })),
    };
  },
};

describe.each(Object.entries(grounds))('a mesh %s', (_name, ground) => {
  it('gives every offer to one of the samplers, and in time to all', async () => {
    const { join } = ground();
    const [one, two] = [join('one'), join('two')];
    const taken: string[] = [];
    for (const [name, mesh] of [
      ['one', one],
      ['two', two],
    ] as const)
      mesh.serveRows((offer) => {
        expect(offer).toEqual({ spec, row: 3 });
        taken.push(name);
        return { answer: 'accepted', sampler: name };
      });
    for (let i = 0; i < 40; i++) expect((await one.offer({ spec, row: 3 })).sampler).toBe(taken.at(-1));
    expect(taken).toHaveLength(40);
    expect(new Set(taken).size).toBe(2);
    await two.stopServing();
    for (let i = 0; i < 10; i++) expect((await two.offer({ spec, row: 3 })).sampler).toBe('one');
    await one.stopServing();
    await expect(two.offer({ spec, row: 3 })).rejects.toMatchObject({ code: 'THAW_TRANSPORT_NO_RESPONDER' });
  });

  it('tells events to all others, in order', async () => {
    const { join } = ground();
    const meshes = ['one', 'two', 'three'].map((name) => join(name));
    const heard: SamplerEvent[][] = [[], [], []];
    meshes.forEach((mesh, i) => mesh.onEvent((event) => heard[i]!.push(event)));
    const events: SamplerEvent[] = [
      { type: 'beat', sampler: 'one', rows: [{ job: spec.id, row: 0, severity: 2 }] },
      { type: 'stored', sampler: 'one', job: spec.id, row: 0, severity: 0 },
      { type: 'row-failed', sampler: 'one', job: spec.id, row: 1, code: 'THAW_X', message: 'm' },
      { type: 'ended', sampler: 'one', job: spec.id },
      { type: 'leave', sampler: 'one' },
    ];
    for (const event of events) meshes[0]!.announce(event);
    await until(() => heard[1]!.length === events.length && heard[2]!.length === events.length, 'events');
    expect(heard).toEqual([[], events, events]);
  });

  it('carries evaluations, their errors with the code, and the word of a channel', async () => {
    const { join, evaluate, onEvaluation, channelMoved } = ground();
    const mesh = join('one');
    const [results, channels]: [EvaluateResult[], string[]] = [[], []];
    onEvaluation((announced) => results.push(announced));
    mesh.onChannelMoved((channel) => channels.push(channel));
    let fails = true;
    mesh.serveEvaluations(async (request) => {
      expect(request).toEqual({ run: 'demo', step: 1, split: 'test', count: 2 });
      if (fails) throw new ThawError('THAW_CHECKPOINT_NOT_FOUND', 'There is none.');
      return result;
    });
    await expect(evaluate()).rejects.toMatchObject({ code: 'THAW_CHECKPOINT_NOT_FOUND' });
    fails = false;
    expect(await evaluate()).toEqual(result);
    mesh.announceEvaluation(result);
    channelMoved('latest');
    await until(() => results.length === 1 && channels.length === 1, 'announcements');
    expect([results, channels]).toEqual([[result], ['latest']]);
  });

  it('carries the playground, with its errors', async () => {
    const { join, playground } = ground();
    await expect(playground.start({ seed: 1, sampler: 'direct' })).rejects.toMatchObject({
      code: 'THAW_TRANSPORT_NO_RESPONDER',
    });
    const mesh = join('one');
    const answer = { job: 'a'.repeat(32), version: spec.version, severities: [2, 1, 0] };
    const frame = { sequence: 1, severity: 2, x: Uint8Array.of(1, 2), estimate: Uint8Array.of(3) };
    mesh.servePlayground({
      start: async (request) => {
        expect([request.seed, [...request.image!]]).toEqual([1, [9, 8]]);
        return answer;
      },
      frames: async ({ job, after }) => {
        if (job !== answer.job) throw new ThawError('THAW_JOB_NOT_FOUND', 'There is no such job.');
        return after === 0 ? { frames: [frame] } : { frames: [], end: { state: 'done' } };
      },
    });
    expect(await playground.start({ seed: 1, image: Uint8Array.of(9, 8), sampler: 'direct' })).toEqual(answer);
    const ask = (job: string, after: number): Promise<FramesAnswer> => playground.frames({ job, after, waitMs: 100 });
    const [first] = (await ask(answer.job, 0)).frames;
    expect({ ...first, x: [...first!.x], estimate: [...first!.estimate] }).toEqual({
      ...frame,
      x: [1, 2],
      estimate: [3],
    });
    expect(await ask(answer.job, 1)).toEqual({ frames: [], end: { state: 'done' } });
    await expect(ask('b'.repeat(32), 0)).rejects.toMatchObject({ code: 'THAW_JOB_NOT_FOUND' });
    await mesh.stopServing();
    await expect(ask(answer.job, 0)).rejects.toMatchObject({ code: 'THAW_TRANSPORT_NO_RESPONDER' });
  });

  it('lets samplers share a job, and go on when one is cut off', async () => {
    const { join } = ground();
    const store = new MemoryStore();
    const slow = { gate: () => new Promise<void>((resolve) => setTimeout(resolve, 5)) };
    const start = (name: string): ReturnType<typeof startHarness> =>
      startHarness({ store, name, detectionMs: 1200, hub: { join: () => join(name) } as MemoryMeshHub, ...slow });
    const [a, b] = [await start('sampler-a'), await start('sampler-b')];
    const first = await a.service.submit(parseJobRequest({ count: 8, seed: 5 }));
    expect((await a.service.waitForEnd(first.id, 50_000)).state).toBe('done');
    expect(a.calls.length * b.calls.length).toBeGreaterThan(0);
    const second = await a.service.submit(parseJobRequest({ count: 8, seed: 5 }));
    await b.mesh.close();
    expect((await a.service.waitForEnd(second.id, 50_000)).state).toBe('done');
    for (let row = 0; row < 8; row++)
      expect(await a.service.resultBytes(second.id, row)).toEqual(await a.service.resultBytes(first.id, row));
    await Promise.all([a.close(), b.close()]);
  });
});

it('a mesh over the control link does not fall over what it does not understand', async () => {
  const broker = new MemoryBroker(systemClock);
  const mesh = controlMesh(broker.connectControl({ name: 'one' }), {
    name: 'one',
    logger: silentLogger,
    offerTimeoutMs: 20_000,
  });
  const heard: SamplerEvent[] = [];
  mesh.onEvent((event) => heard.push(event));
  mesh.serveRows(() => ({ answer: 'accepted', sampler: 'one' }));
  const stranger = broker.connectControl({ name: 'stranger' });
  for (const bytes of [new Uint8Array(0), Uint8Array.of(0xc1), new TextEncoder().encode('{"type":"beat"}')]) {
    stranger.publish(samplerSubjects.events, bytes);
    await expect(stranger.request(samplerSubjects.rows, bytes, { timeoutMs: 20_000 })).rejects.toMatchObject({
      code: 'THAW_PROTOCOL_INVALID',
    });
  }
  expect(heard).toEqual([]);
  expect((await mesh.offer({ spec, row: 0 })).answer).toBe('accepted');
});

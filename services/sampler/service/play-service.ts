/** The playground: one image, watched while it thaws. Any sampler answers for any job, since states are in the store. */
import {
  ThawError,
  type FramesAnswer,
  type FramesRequest,
  type PlayAnswer,
  type PlayRequest,
} from '@thaw/shared/protocol';
import type { Clock } from '@thaw/shared/runtime';
import { frameCount, frameName, parseJobRequest } from '../jobs/index.js';
import type { Playground } from '../ports.js';
import type { FrameReader } from './frame-reader.js';
import type { JobService } from './job-service.js';
import type { JobStore } from './job-store.js';

/** States are kept only of jobs with a rate; the page paces itself. */
const framesPerSecond = 60;
/** An answer is one message of the broker. */
const maxAnswerBytes = 256 << 10;
/** Announcements may be lost. */
const pollMs = 250;

export class PlayService implements Playground {
  readonly #service: JobService;
  readonly #jobs: JobStore;
  readonly #frames: FrameReader;
  readonly #clock: Clock;

  constructor(parts: { service: JobService; jobs: JobStore; frames: FrameReader; clock: Clock }) {
    this.#service = parts.service;
    this.#jobs = parts.jobs;
    this.#frames = parts.frames;
    this.#clock = parts.clock;
  }

  /** @throws ThawError whatever refuses a job */
  async start({ image, convert, ...request }: PlayRequest): Promise<PlayAnswer> {
    const source = image === undefined ? { mode: 'sample' } : { mode: 'restore', degrade: true, convert, image: '' };
    const spec = await this.#service.submit(parseJobRequest({ ...request, ...source, framesPerSecond }), image);
    const severities = Array.from({ length: frameCount(spec) }, (_, k) => frameName(spec, k + 1)!.severity);
    return { job: spec.id, version: spec.version, severities };
  }

  /** @throws ThawError THAW_JOB_NOT_FOUND, THAW_FRAMES_NOT_KEPT */
  async frames({ job, after, waitMs }: FramesRequest): Promise<FramesAnswer> {
    const spec = await this.#jobs.mustHave(job);
    if (spec.framesPerSecond === undefined)
      throw new ThawError('THAW_FRAMES_NOT_KEPT', `The job ${spec.id} keeps no frames.`);
    const untilMs = this.#clock.nowMs() + waitMs;
    for (;;) {
      const { state, message } = await this.#service.status(job); // before the frames, so that none is missed at the end
      const frames: FramesAnswer['frames'] = [];
      let bytes = 0;
      let sequence = after + 1;
      for (let name = frameName(spec, sequence); name !== undefined && bytes < maxAnswerBytes;) {
        const frame = await this.#frames.read(spec, name);
        if (frame === undefined) break;
        const { severity, x, estimate } = frame;
        frames.push({ sequence, severity, x, estimate });
        bytes += x.byteLength + estimate.byteLength;
        name = frameName(spec, ++sequence);
      }
      const complete = frameName(spec, sequence) === undefined;
      if (complete || (state !== 'running' && bytes < maxAnswerBytes)) {
        const original = complete ? await this.#frames.original(spec, 0) : undefined;
        return {
          frames,
          end: {
            state: complete || state === 'running' ? 'done' : state,
            ...(message === undefined ? {} : { message }),
            ...(original === undefined ? {} : { original }),
          },
        };
      }
      const leftMs = untilMs - this.#clock.nowMs();
      if (frames.length > 0 || leftMs <= 0) return { frames };
      await this.#service.changed(job, Math.min(leftMs, pollMs));
    }
  }
}

/** Samplers of one process, or a single one, joined without a broker. The simplest statement of what a mesh does. */
import {
  ThawError,
  type EvaluateRequest,
  type EvaluateResult,
  type RowAnswer,
  type RowOffer,
  type SamplerEvent,
} from '@thaw/shared/protocol';
import type { Playground, SamplerMesh } from '../ports.js';

interface Member {
  readonly rows: ((offer: RowOffer) => RowAnswer | Promise<RowAnswer>)[];
  readonly events: ((event: SamplerEvent) => void)[];
  readonly evaluations: ((request: EvaluateRequest) => Promise<EvaluateResult>)[];
  readonly playgrounds: Playground[];
  readonly channels: ((channel: string) => void)[];
}

/** Offers go round the members in turn. */
export class MemoryMeshHub {
  readonly #members: Member[] = [];
  readonly #results: ((result: EvaluateResult) => void)[] = [];
  #turn = 0;

  join(): SamplerMesh {
    const member: Member = { rows: [], events: [], evaluations: [], playgrounds: [], channels: [] };
    this.#members.push(member);
    return {
      offer: async (offer) => {
        if (!this.#members.includes(member)) throw new ThawError('THAW_TRANSPORT_UNAVAILABLE', 'The mesh was left.');
        return (await this.#next((other) => other.rows[0]))(offer);
      },
      serveRows: (handler) => void member.rows.push(handler),
      stopServing: async () => void (member.rows.length = member.evaluations.length = member.playgrounds.length = 0),
      announce: (event) => {
        if (!this.#members.includes(member)) return;
        for (const other of this.#members)
          if (other !== member) for (const handler of other.events) queueMicrotask(() => handler(event));
      },
      onEvent: (handler) => void member.events.push(handler),
      serveEvaluations: (handler) => void member.evaluations.push(handler),
      servePlayground: (playground) => void member.playgrounds.push(playground),
      announceEvaluation: (result) => {
        for (const handler of this.#results) handler(result);
      },
      onChannelMoved: (handler) => void member.channels.push(handler),
      close: async () => {
        if (this.#members.includes(member)) this.#members.splice(this.#members.indexOf(member), 1);
      },
    };
  }

  /** As the coordinator does over the broker. */
  async evaluate(request: EvaluateRequest): Promise<EvaluateResult> {
    return (await this.#next((member) => member.evaluations[0]))(request);
  }

  /** The playground of one of the samplers, as the coordinator reaches it. */
  get playground(): Playground {
    return {
      start: async (request) => (await this.#next((member) => member.playgrounds[0])).start(request),
      frames: async (request) => (await this.#next((member) => member.playgrounds[0])).frames(request),
    };
  }

  channelMoved(channel: string): void {
    for (const member of this.#members) for (const handler of member.channels) handler(channel);
  }

  onEvaluation(handler: (result: EvaluateResult) => void): void {
    this.#results.push(handler);
  }

  async #next<T>(door: (member: Member) => T | undefined): Promise<T> {
    for (let tried = 0; tried < this.#members.length; tried++) {
      const found = door(this.#members[this.#turn++ % this.#members.length]!);
      if (found !== undefined) return found;
    }
    throw new ThawError('THAW_TRANSPORT_NO_RESPONDER', 'No sampler answers.');
  }
}

/** What a bulk client does with what a broker sends on one connection. No socket, no clock: effects through a port. */
import { parseClientLine, WireError, type FrameHandler, type ServerInfo } from '../wire/index.js';

/** What the session asks of its connection. */
export interface SessionPort {
  /** Protocol lines to send. */
  send(lines: string): void;
  /** The first INFO has come: answer with CONNECT (after TLS, if the broker demands it). */
  greeted(info: ServerInfo): void;
  /** The destination of a payload of `bytes`: starts on an 8-byte boundary, becomes the receiver's. */
  allocate(bytes: number): Uint8Array;
  message(sid: number, subject: string, payload: Uint8Array): void;
  /** The answer to the oldest PING without one. */
  pong(): void;
  /** `-ERR`. Most are followed by the end of the connection; permission violations are not. */
  refused(text: string): void;
}

type Incoming =
  { readonly sid: number; readonly subject: string; readonly payload: Uint8Array } | { readonly sid: undefined };

export class ClientSession implements FrameHandler {
  readonly #port: SessionPort;
  readonly #isSubscribed: (sid: number) => boolean;
  #greeted = false;
  #incoming: Incoming | undefined;
  /** Where headers, and payloads that nobody wants any more, go. */
  #trash = new Uint8Array(0);

  constructor(port: SessionPort, isSubscribed: (sid: number) => boolean) {
    this.#port = port;
    this.#isSubscribed = isSubscribed;
  }

  line(text: string): readonly Uint8Array[] | undefined {
    const line = parseClientLine(text);
    switch (line.kind) {
      case 'message': {
        if (!this.#greeted) throw new WireError('Unknown Protocol Operation', 'a message before INFO');
        const header = this.#trashOf(line.headerBytes);
        if (!this.#isSubscribed(line.sid)) {
          this.#incoming = { sid: undefined };
          return [header, this.#trashOf(line.payloadBytes)];
        }
        const payload = this.#port.allocate(line.payloadBytes);
        this.#incoming = { sid: line.sid, subject: line.subject, payload };
        return [header, payload];
      }
      case 'info':
        if (!this.#greeted) {
          this.#greeted = true;
          this.#port.greeted(line.info);
        }
        return undefined;
      case 'ping':
        this.#port.send('PONG\r\n');
        return undefined;
      case 'pong':
        this.#port.pong();
        return undefined;
      case 'error':
        this.#port.refused(line.text);
        return undefined;
      case 'ok':
        return undefined;
    }
  }

  payload(): void {
    const incoming = this.#incoming;
    this.#incoming = undefined;
    if (incoming?.sid !== undefined) this.#port.message(incoming.sid, incoming.subject, incoming.payload);
  }

  #trashOf(bytes: number): Uint8Array {
    if (this.#trash.byteLength < bytes) this.#trash = new Uint8Array(bytes);
    return this.#trash.subarray(0, bytes);
  }
}

/** `-ERR` texts that mean our credentials, not our doing. */
export function isCredentialRefusal(text: string): boolean {
  return /^(authorization violation|authentication timeout|authentication expired|user authentication (expired|revoked))/i.test(
    text,
  );
}

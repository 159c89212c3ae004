import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader, parseClientLine, parseServerLine, WireError } from './index.js';

type Seen = { line: string } | { header: string; payload: string };

/** A reader that records what a client would see, with messages in destinations of their own. */
function recorder(options: { scratchBytes?: number; directBytes?: number } = {}): {
  reader: FrameReader;
  seen: Seen[];
} {
  const seen: Seen[] = [];
  let header: Buffer = Buffer.alloc(0);
  let payload: Buffer = Buffer.alloc(0);
  const reader = new FrameReader(
    {
      line(text) {
        const parsed = parseClientLine(text);
        if (parsed.kind !== 'message') {
          seen.push({ line: text });
          return undefined;
        }
        header = Buffer.alloc(parsed.headerBytes);
        payload = Buffer.alloc(parsed.payloadBytes);
        return [header, payload];
      },
      payload() {
        seen.push({ header: header.toString('latin1'), payload: payload.toString('latin1') });
      },
    },
    { maxLineBytes: 4096, ...options },
  );
  return { reader, seen };
}

/** Feeds through `buffer`/`received` as a socket would, at most `sizes[i]` bytes a read. */
function readAsSocket(reader: FrameReader, wire: Buffer, sizes: readonly number[]): void {
  let at = 0;
  for (let i = 0; at < wire.length; i++) {
    const into = reader.buffer();
    const count = Math.min(sizes[i % sizes.length]!, into.byteLength, wire.length - at);
    into.set(wire.subarray(at, at + count));
    reader.received(count, into);
    at += count;
  }
}

const message = fc.record({
  subject: fc.constantFrom('a', 'run.3.total.17', 'x.y'),
  headers: fc.option(
    fc.string({ maxLength: 40 }).map((s) => `NATS/1.0\r\nk: ${s.replace(/[^a-z]/gi, '_')}\r\n\r\n`),
    { nil: undefined },
  ),
  payload: fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b).toString('latin1')),
  before: fc.constantFrom('', 'PING\r\n', 'PONG\r\n', '+OK\r\n', "-ERR 'x'\r\n"),
});
const encode = (m: { subject: string; headers?: string | undefined; payload: string; before: string }): string => {
  const h = m.headers;
  const line =
    h === undefined
      ? `MSG ${m.subject} 1 ${m.payload.length}`
      : `HMSG ${m.subject} 1 _r ${h.length} ${h.length + m.payload.length}`;
  return `${m.before}${line}\r\n${h ?? ''}${m.payload}\r\n`;
};

describe('FrameReader', () => {
  it('sees the same frames wherever the bytes are cut and whatever buffer they land in', () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 8, max: 64 }),
        (messages, cuts, directBytes, scratchBytes) => {
          const wire = Buffer.from(messages.map(encode).join(''), 'latin1');
          const expected = messages.flatMap((m): Seen[] => [
            ...(m.before === '' ? [] : [{ line: m.before.trim() }]),
            { header: m.headers ?? '', payload: m.payload },
          ]);
          const socket = recorder({ directBytes, scratchBytes });
          readAsSocket(socket.reader, wire, cuts);
          expect(socket.seen).toEqual(expected);
          const pushed = recorder();
          pushed.reader.push(wire);
          expect(pushed.seen).toEqual(expected);
        },
      ),
      { seed: 7, numRuns: 300 },
    );
  });

  it('answers random bytes with a WireError or silence, never with anything else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 8 }), (chunks) => {
        const { reader } = recorder();
        const server = new FrameReader(
          { line: (l) => (parseServerLine(l), undefined), payload: () => undefined },
          { maxLineBytes: 64 },
        );
        for (const r of [reader, server])
          try {
            for (const chunk of chunks) r.push(chunk);
          } catch (error) {
            expect(error).toBeInstanceOf(WireError);
          }
      }),
      { seed: 11, numRuns: 500 },
    );
  });

  it('reads a large payload straight into its destination', () => {
    const wire = Buffer.from(`MSG a 1 100000\r\n${'x'.repeat(100000)}\r\n`);
    const { reader, seen } = recorder();
    const buffers: number[] = [];
    let at = 0;
    while (at < wire.length) {
      const into = reader.buffer();
      buffers.push(into.byteLength);
      const count = Math.min(into.byteLength, wire.length - at);
      into.set(wire.subarray(at, at + count));
      reader.received(count, into);
      at += count;
    }
    expect(buffers).toEqual([16384, 100000 - (16384 - 16), 16384]);
    expect(seen).toEqual([{ header: '', payload: 'x'.repeat(100000) }]);
  });

  it('refuses a line without end once it is too long, however slowly it comes', () => {
    const { reader } = recorder();
    const trickle = (): void => {
      for (let i = 0; i < 5000; i++) reader.push(Buffer.from('P'));
    };
    expect(trickle).toThrow('Maximum Control Line Exceeded');
  });

  it('refuses a payload that is longer than announced', () => {
    const { reader, seen } = recorder();
    expect(() => reader.push(Buffer.from('MSG a 1 2\r\nabcd\r\n'))).toThrow('not followed by CRLF');
    expect(seen).toEqual([]);
  });
});

describe('lines', () => {
  it.each([
    'MSG a 1',
    'MSG a 1 -1',
    'MSG a 1 99999999999',
    'MSG a x 1',
    'HMSG a 1 9 5',
    'HMSG a 1 5',
    'INFO {',
    'INFO 3',
    'NOPE',
    '',
  ])('a client refuses %j', (line) => {
    expect(() => parseClientLine(line)).toThrow(WireError);
  });
  it.each([
    'PUB',
    'PUB a',
    'PUB a b c 3',
    'PUB a 1e3',
    'HPUB a 9 5',
    'SUB a',
    'SUB a b c d',
    'UNSUB',
    'CONNECT',
    'CONNECT []',
    'CONNECT {"a":',
    'GET / HTTP/1.1',
  ])('a broker refuses %j', (line) => {
    expect(() => parseServerLine(line)).toThrow(WireError);
  });
  it('reads publishes with and without reply and headers', () => {
    expect(parseServerLine('pub a  5')).toEqual({
      kind: 'publish',
      subject: 'a',
      headerBytes: 0,
      totalBytes: 5,
      withHeaders: false,
    });
    expect(parseServerLine('HPUB a r 12\t17')).toEqual({
      kind: 'publish',
      subject: 'a',
      replyTo: 'r',
      headerBytes: 12,
      totalBytes: 17,
      withHeaders: true,
    });
  });
  it('keeps text beyond ASCII', () => {
    const wire = Buffer.from('grün').toString('latin1');
    expect(parseServerLine(`SUB ${wire} 1`)).toEqual({ kind: 'subscribe', pattern: wire, sid: '1' });
    expect(parseClientLine(`MSG ${wire} 1 0`)).toMatchObject({ subject: 'grün' });
  });
});

import { describe, expect, it } from 'vitest';
import { FrameReader } from '../wire/index.js';
import { ClientSession, isCredentialRefusal } from './client-session.js';

function session(subscribed: readonly number[] = [1]): {
  feed: (wire: string) => void;
  log: unknown[];
  allocated: number[];
} {
  const log: unknown[] = [];
  const allocated: number[] = [];
  const reader = new FrameReader(
    new ClientSession(
      {
        send: (lines) => log.push(['send', lines]),
        greeted: (info) => log.push(['greeted', info.max_payload]),
        allocate: (n) => {
          allocated.push(n);
          return new Uint8Array(n);
        },
        message: (sid, subject, payload) => log.push([sid, subject, Buffer.from(payload).toString()]),
        pong: () => log.push('pong'),
        refused: (text) => log.push(['refused', text]),
      },
      (sid) => subscribed.includes(sid),
    ),
    { maxLineBytes: 4096 },
  );
  return { feed: (wire) => reader.push(Buffer.from(wire)), log, allocated };
}
const info = 'INFO {"max_payload":8}\r\n';

describe('ClientSession', () => {
  it('delivers payloads, with headers cut off, and only of subscriptions still wanted', () => {
    const { feed, log, allocated } = session();
    feed(
      `${info}MSG a.b 1 2\r\nhi\r\nMSG a.b 2 3\r\nold\r\nHMSG a.b 1 12 17\r\nNATS/1.0\r\n\r\nthere\r\nMSG e 1 0\r\n\r\n`,
    );
    expect(log).toEqual([
      ['greeted', 8],
      [1, 'a.b', 'hi'],
      [1, 'a.b', 'there'],
      [1, 'e', ''],
    ]);
    expect(allocated).toEqual([2, 5, 0]);
  });

  it('answers pings, passes pongs and errors on, greets once', () => {
    const { feed, log } = session();
    feed(`${info}${info}PING\r\nPONG\r\n+OK\r\n-ERR 'Stale Connection'\r\n`);
    expect(log).toEqual([['greeted', 8], ['send', 'PONG\r\n'], 'pong', ['refused', 'Stale Connection']]);
  });

  it('refuses messages from something that has not said what it is', () => {
    expect(() => session().feed('MSG a 1 2\r\n')).toThrow('a message before INFO');
    expect(() => session().feed('HTTP/1.1 400 Bad Request\r\n')).toThrow();
  });

  it.each([
    ['Authorization Violation', true],
    ['Authentication Timeout', true],
    ['User Authentication Expired', true],
    ['Permissions Violation for Publish to "x"', false],
    ['Stale Connection', false],
  ])('%s: about credentials %s', (line, expected) => {
    expect(isCredentialRefusal(line)).toBe(expected);
  });
});

import { describe, expect, it } from 'vitest';
import {
  bearerProtocolPrefix,
  checkHost,
  checkOrigin,
  checkToken,
  tokenCookieHeader,
  type AccessRules,
} from './http-access.js';

const token = 'c2VjcmV0/+c2VjcmV0==';
const rules: AccessRules = {
  token,
  host: '10.1.2.3',
  allowedHosts: ['thaw.example.org'],
  allowedOrigins: ['https://console.example.org'],
};
const code = (code: string): unknown => expect.objectContaining({ code });
const cookie = (value: string): string => tokenCookieHeader(value).split(';')[0]!;

describe('checkToken', () => {
  it.each([
    { authorization: `Bearer ${token}` },
    { authorization: `bearer   ${token} ` },
    { cookie: cookie(token) },
    { cookie: `a=1; ${cookie(token)}; b=2` },
    { 'sec-websocket-protocol': `thaw.frames, ${bearerProtocolPrefix}${token}` },
  ])('takes %j', (headers) => {
    expect(() => checkToken(rules, headers)).not.toThrow();
  });
  it.each([
    {},
    { authorization: 'Bearer' },
    { authorization: token },
    { authorization: `Basic ${token}` },
    { authorization: `Bearer ${token} ${token}` },
    { authorization: `Bearer ${token.slice(0, -1)}` },
    { authorization: 'Bearer wrong', cookie: cookie(token) },
    { cookie: 'thaw_token' },
    { cookie: 'thaw_token=' },
    { cookie: 'thaw_token=%' },
    { cookie: `xthaw_token=${encodeURIComponent(token)}` },
    { 'sec-websocket-protocol': 'thaw.frames' },
    { 'sec-websocket-protocol': bearerProtocolPrefix },
  ])('refuses %j', (headers) => {
    expect(() => checkToken(rules, headers)).toThrow(code('THAW_UNAUTHORIZED'));
  });
  it('asks for nothing where there is no token', () => {
    const { token: _, ...open } = rules;
    expect(() => checkToken(open, {})).not.toThrow();
  });
  it('keeps every character of a token in the cookie, and no other attribute than its own', () => {
    const odd = 'a;b,c d="e"; Domain=evil.example.org';
    expect(tokenCookieHeader(odd).split('; ').slice(1)).toEqual(['HttpOnly', 'SameSite=Strict', 'Path=/']);
    expect(() => checkToken({ ...rules, token: odd }, { cookie: cookie(odd) })).not.toThrow();
  });
});

describe('checkHost', () => {
  it.each(['localhost', 'LOCALHOST:80', '127.0.0.1:1', '[::1]:9', '10.1.2.3', '10.1.2.3:8080', 'thaw.example.org:443'])(
    'serves %s',
    (host) => {
      expect(() => checkHost(rules, { host })).not.toThrow();
    },
  );
  it.each([
    undefined,
    '',
    'example.org',
    'evil.thaw.example.org',
    'thaw.example.org.',
    '127.0.0.1.example.org',
    'a b',
    '10.1.2.4',
  ])('refuses %s', (host) => {
    expect(() => checkHost(rules, host === undefined ? {} : { host })).toThrow(code('THAW_ORIGIN_REFUSED'));
  });
  it('serves any name where the operator says so', () => {
    expect(() => checkHost({ ...rules, allowedHosts: ['*'] }, { host: 'example.org' })).not.toThrow();
  });
});

describe('checkOrigin', () => {
  const host = '127.0.0.1:8080';
  it.each([undefined, 'http://127.0.0.1:8080', 'https://127.0.0.1:8080', 'https://console.example.org'])(
    'lets %s change things',
    (origin) => {
      expect(() => checkOrigin(rules, origin === undefined ? { host } : { host, origin })).not.toThrow();
    },
  );
  it.each([
    ...[
      'null',
      '',
      'http://127.0.0.1:8081',
      'http://127.0.0.1',
      'http://localhost:8080',
      'https://console.example.org:444',
    ],
    ...['http://console.example.org', 'https://console.example.org.evil.example.org', 'file://127.0.0.1:8080'],
  ])('refuses %s', (origin) => {
    expect(() => checkOrigin(rules, { host, origin })).toThrow(code('THAW_ORIGIN_REFUSED'));
  });
});

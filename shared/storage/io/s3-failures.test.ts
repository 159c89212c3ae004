import { expect, test } from 'vitest';
import { classify } from './s3-failures.js';

const answer = (name: string, httpStatusCode: number): object => ({ name, $metadata: { httpStatusCode } });

test('a failure is repeated only if that can help, and is in doubt only if it may have been carried out', () => {
  expect(classify(answer('PreconditionFailed', 412))).toBe('precondition');
  expect(classify(answer('ConditionalRequestConflict', 409))).toBe('conflict');
  expect(classify(answer('NoSuchKey', 404))).toBe('absent');
  expect(classify(answer('NoSuchBucket', 404))).toBe('refused');
  expect(classify(answer('InvalidRange', 416))).toBe('beyond');
  expect(classify(answer('AccessDenied', 403))).toBe('refused');
  expect(classify(answer('InvalidRequest', 400))).toBe('refused');
  expect(classify(answer('RequestTimeout', 400))).toBe('transient');
  expect(classify(answer('SlowDown', 503))).toBe('transient');
  expect(classify(answer('InternalError', 500))).toBe('transient');
  expect(classify(answer('SyntaxError', 200))).toBe('transient');
  expect(classify(Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }))).toBe('transient');
  expect(classify(Object.assign(new Error('no credentials'), { name: 'CredentialsProviderError' }))).toBe('refused');
  expect(classify(undefined)).toBe('transient');
});

/** Subjects and patterns of core NATS: tokens separated by dots; in patterns `*` is one token, a final `>` one or more. */
import { ThawError } from '@thaw/shared/protocol';

const maxSubjectLength = 1024;
// Anything that would end a token or a protocol line; other characters are legal, as in nats-server.

const forbidden = /[\u0000-\u0020\u007f]/;

/** A subject one can publish to: no empty token, no wildcard. */
export function isSubject(subject: string): boolean {
  if (!isPattern(subject)) return false;
  return !hasWildcard(subject);
}

/** A pattern one can subscribe to. */
export function isPattern(pattern: string): boolean {
  if (pattern.length === 0 || pattern.length > maxSubjectLength || forbidden.test(pattern)) return false;
  const tokens = pattern.split('.');
  return tokens.every((token, i) => token !== '' && (token !== '>' || i === tokens.length - 1));
}

/** True if a token is exactly `*` or `>`; those characters inside a longer token are literal. */
export function hasWildcard(pattern: string): boolean {
  return pattern.split('.').some((token) => token === '*' || token === '>');
}

export function matches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const given = subject.split('.');
  for (let i = 0; i < wanted.length; i++) {
    const token = wanted[i];
    if (token === '>') return given.length > i;
    if (i >= given.length || (token !== '*' && token !== given[i])) return false;
  }
  return wanted.length === given.length;
}

/** @throws ThawError THAW_TRANSPORT_SUBJECT_INVALID */
export function assertSubject(subject: string): void {
  if (!isSubject(subject))
    throw new ThawError(
      'THAW_TRANSPORT_SUBJECT_INVALID',
      `"${subject.slice(0, 100)}" is not a subject one can publish to.`,
    );
}

/** @throws ThawError THAW_TRANSPORT_SUBJECT_INVALID */
export function assertPattern(pattern: string): void {
  if (!isPattern(pattern))
    throw new ThawError(
      'THAW_TRANSPORT_SUBJECT_INVALID',
      `"${pattern.slice(0, 100)}" is not a pattern one can subscribe to.`,
    );
}

/** Takes secrets out of what is logged. */
import { ThawError } from '@thaw/shared/protocol';

const secretName =
  /token|password|passwd|secret|authorization|cookie|credential|api[-_]?key|private[-_]?key|access[-_]?key/i;
const urlUserInfo = /([a-z][a-z0-9+.-]*:\/\/)[^/?#\s@]*@/gi;
const secretInText = /\b(bearer\s+|(?:token|password|secret|authorization|signature)=)[^\s&"',;]+/gi;
const hidden = '[redacted]';
const maxDepth = 8;
const maxBytesShown = 32;

/**
 * A copy of `value` fit for a log line: values under secret-sounding names, credentials in URLs and bearer tokens in text
 * are replaced; errors become plain objects with code, message, stack and cause; binary data becomes its size.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return value.replace(urlUserInfo, `$1${hidden}@`).replace(secretInText, `$1${hidden}`);
  if (typeof value === 'bigint') return value.toString();
  if (value === null || typeof value !== 'object') return value;
  if (depth >= maxDepth) return '[deeper]';
  if (value instanceof Error) return redactError(value, depth);
  if (ArrayBuffer.isView(value) && value.byteLength > maxBytesShown) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof URL) return redact(value.href, depth);
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  if (value instanceof Map || value instanceof Set) return redact([...value], depth);
  const out: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value))
    out[name] =
      secretName.test(name) && typeof item !== 'boolean' && item !== undefined ? hidden : redact(item, depth + 1);
  return out;
}

function redactError(error: Error, depth: number): unknown {
  const code = error instanceof ThawError ? error.code : (error as { code?: unknown }).code;
  return {
    name: error.name,
    ...(code === undefined ? {} : { code }),
    message: redact(error.message),
    ...(error instanceof ThawError && error.details !== undefined ? { details: redact(error.details, depth + 1) } : {}),
    stack: redact(error.stack),
    ...(error.cause === undefined ? {} : { cause: redact(error.cause, depth + 1) }),
  };
}

/**
 * Every error a person or a client can meet: one code, what it means, what to do, and the HTTP status it maps to.
 * `docs/errors.md` is generated from this table and checked by a test.
 */
export interface ErrorEntry {
  /** HTTP status used when the error reaches an HTTP client. */
  readonly httpStatus: number;
  /** One sentence: what the code means. */
  readonly meaning: string;
  /** One sentence: what to do about it. Used when the thrower gives no more specific cure. */
  readonly cure: string;
}

const entry = (httpStatus: number, meaning: string, cure: string): ErrorEntry => ({ httpStatus, meaning, cure });

export const errorRegistry = {
  THAW_CONFIG_INVALID: entry(400, 'A configuration has one or more problems.', 'Correct every listed problem and start again.'),
  THAW_INTERNAL: entry(500, 'Something failed that should not have.', 'Look at the service log; report it with the log line.'),
  THAW_BIND_REFUSED: entry(500, 'A listener would be reachable from outside without a credential.', 'Set a token or credentials, or bind to loopback.'),
  THAW_DATA_NOT_LEASED: entry(403, 'A trainer tried to read samples that no lease gives it.', 'This is a bug in the trainer; report it with the log.'),
  THAW_DATA_CORRUPT: entry(500, 'A shard or manifest does not match its digest.', 'Pack the data set again or restore the object.'),
  THAW_DATA_INVALID: entry(400, 'A data set or image file could not be understood.', 'Check the file format and the options given.'),
  THAW_PROTOCOL_INVALID: entry(400, 'A message does not follow the protocol.', 'Run the same version of Thaw in every process.'),
  THAW_DIR_BUSY: entry(409, 'A local cluster already runs on this folder.', 'Open the URL given, or choose another folder with --dir.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorRegistry;

/** What a client is shown of an error: never a stack trace. */
export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly cure: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface ThawErrorOptions {
  /** Overrides the registry's cure. */
  readonly cure?: string;
  readonly cause?: unknown;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** An error with a code from {@link errorRegistry}, a sentence saying what was wrong, and a cure. */
export class ThawError extends Error {
  readonly code: ErrorCode;
  readonly cure: string;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, problem: string, options: ThawErrorOptions = {}) {
    super(problem, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ThawError';
    this.code = code;
    this.cure = options.cure ?? errorRegistry[code].cure;
    this.details = options.details;
  }

  get httpStatus(): number {
    return errorRegistry[this.code].httpStatus;
  }

  toBody(): ErrorBody {
    const body = { code: this.code, message: this.message, cure: this.cure };
    return this.details === undefined ? body : { ...body, details: this.details };
  }
}

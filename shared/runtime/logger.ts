/** JSON-lines logging (pino): one object a line with time, level, service and message. Secrets are taken out of every field. */
import { pino } from 'pino';
import { redact } from './redact.js';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

/** What code that logs is given. Fields are named values, units in their names (`waitMs`); `err` holds an Error. */
export interface Logger {
  readonly level: LogLevel;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  fatal(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

export interface LoggerOptions {
  /** Name of the process, on every line. */
  readonly service: string;
  /** Default: THAW_LOG_LEVEL, or info. An unknown level counts as info. */
  readonly level?: string | undefined;
  /** Fields on every line. */
  readonly fields?: LogFields;
  /** Where lines go, newline included. Default: standard output, written at once. */
  readonly destination?: { write(line: string): void };
}

export function createLogger(options: LoggerOptions): Logger {
  const asked = options.level ?? process.env['THAW_LOG_LEVEL'];
  const level = logLevels.find((known) => known === asked?.toLowerCase()) ?? 'info';
  const root = pino(
    {
      level,
      base: { service: options.service, ...(redact(options.fields ?? {}) as object) },
      messageKey: 'message',
      serializers: { err: (shown: unknown) => shown }, // errors are made plain by redact
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
  );
  return wrap(root, level);
}

/** Says nothing: the default where a logger is optional. */
export const silentLogger: Logger = {
  level: 'silent',
  debug() {},
  info() {},
  warn() {},
  error() {},
  fatal() {},
  child: () => silentLogger,
};

function wrap(inner: pino.Logger, level: LogLevel): Logger {
  const write = (at: 'debug' | 'info' | 'warn' | 'error' | 'fatal') => (message: string, fields?: LogFields) => {
    if (inner.isLevelEnabled(at)) inner[at](redact(fields ?? {}) as object, redact(message) as string);
  };
  return {
    level,
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    fatal: write('fatal'),
    child: (fields) => wrap(inner.child(redact(fields) as object), level),
  };
}

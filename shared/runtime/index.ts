/** What every process stands on: clock and random as ports, configuration, logging, metrics, health and orderly stopping. */
export { sleep, systemClock } from './clock.js';
export type { Clock, Timer } from './clock.js';
export { VirtualClock } from './virtual-clock.js';
export { philox4x32, philox4x32Into } from './philox.js';
export { drawPurposes, permutation, RandomStream } from './random.js';
export type { DrawPurpose } from './random.js';
export { naturalLog } from './natural-log.js';
export { randomHex, systemEntropy } from './entropy.js';
export type { Entropy } from './entropy.js';
export { builtFile } from './built-file.js';
export { assertBindAllowed, cannotListen, isLoopback } from './listen-guard.js';
export { createLogger, logLevels, silentLogger } from './logger.js';
export type { LogFields, Logger, LoggerOptions, LogLevel } from './logger.js';
export { redact } from './redact.js';
export { Metrics } from './metrics.js';
export type { Counter, Gauge, Histogram } from './metrics.js';
export { EventLoopProgress, Health, Progress } from './health.js';
export type { Check, CheckKind, CheckResult, HealthReport } from './health.js';
export { Lifecycle } from './lifecycle.js';
export type { DrainReport, DrainStep } from './lifecycle.js';
export { loadConfig } from './config.js';
export type { ConfigProblem, LoadConfigOptions } from './config.js';
export { attachSignals } from './io/signals.js';
export { watchEventLoop } from './io/event-loop.js';
export { startOperationsServer } from './io/operations-server.js';
export type { OperationsServer, OperationsServerOptions } from './io/operations-server.js';
export {
  bearerProtocolPrefix,
  checkHost,
  checkOrigin,
  checkToken,
  tokenCookie,
  tokenCookieHeader,
} from './http-access.js';
export type { AccessRules } from './http-access.js';
export { loadProcessConfig } from './io/process-config.js';
export { announceReady, runService, startService } from './io/service.js';
export type { Service, ServiceSettings } from './io/service.js';

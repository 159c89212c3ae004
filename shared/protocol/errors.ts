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
  THAW_CONFIG_INVALID: entry(
    400,
    'A configuration has one or more problems.',
    'Correct every listed problem and start again.',
  ),
  THAW_USAGE_INVALID: entry(
    400,
    'The arguments of a command cannot be used.',
    'Run the command with --help; it lists its arguments and shows examples.',
  ),
  THAW_INTERNAL: entry(
    500,
    'Something failed that should not have.',
    'Look at the service log; report it with the log line.',
  ),
  THAW_BIND_REFUSED: entry(
    500,
    'A listener would be reachable from outside without a credential.',
    'Set a token or credentials, or bind to loopback.',
  ),
  THAW_DATA_NOT_LEASED: entry(
    403,
    'A trainer tried to read samples that no lease gives it.',
    'This is a bug in the trainer; report it with the log.',
  ),
  THAW_DATA_CORRUPT: entry(
    500,
    'A shard or manifest does not match its digest.',
    'Pack the data set again or restore the object.',
  ),
  THAW_DATA_INVALID: entry(
    400,
    'A data set or image file could not be understood.',
    'Check the file format and the options given.',
  ),
  THAW_PROTOCOL_INVALID: entry(
    400,
    'A message does not follow the protocol.',
    'Run the same version of Thaw in every process.',
  ),
  THAW_CLUSTER_NOT_FOUND: entry(
    404,
    'No local cluster runs on the folder.',
    'Start one with `npm start`, or name its folder with --dir.',
  ),
  THAW_SERVICE_UNREACHABLE: entry(
    503,
    'A service of the cluster does not answer.',
    'Look at `thaw doctor` and the log files of the cluster.',
  ),
  THAW_CLUSTER_START: entry(
    500,
    'A process of the local cluster did not become ready.',
    'Read its log file, named in the message.',
  ),
  THAW_RUN_CONFLICT: entry(
    409,
    'The folder holds a run of the same name with another configuration.',
    'Choose another name in the run file, or another folder with --dir.',
  ),
  THAW_REQUEST_INVALID: entry(
    400,
    'A request has a field that is wrong or missing.',
    'Correct the field named in the message; /openapi.json describes requests.',
  ),
  THAW_NOT_FOUND: entry(404, 'There is nothing at this address.', 'Check the address.'),
  THAW_FILE_UNUSABLE: entry(
    400,
    'A file or folder cannot be read or written.',
    'Name another one, or change its permissions.',
  ),
  THAW_PORT_UNAVAILABLE: entry(
    500,
    'A listener cannot have its address and port.',
    'Choose another port (0 takes a free one), or stop what uses it.',
  ),
  THAW_TOO_MANY_WATCHERS: entry(503, 'Too many clients watch at once.', 'Close some pages, or try again later.'),
  THAW_JOB_NOT_DONE: entry(
    409,
    'A job ended without its images.',
    'Read why in the message; send it again if that has passed.',
  ),
  THAW_RUN_NOT_FOUND: entry(
    404,
    'The object store has no run of this name.',
    'Check the name of the run and the address of the object store.',
  ),
  THAW_DATASET_NOT_FOUND: entry(
    404,
    'The data set of the run file is not in the object store.',
    'Pack it once with `thaw data pack`.',
  ),
  THAW_DATASET_CHANGED: entry(
    409,
    'The images of a data set are not those that the run began with.',
    'Restore the data set, or start a new run on the new images.',
  ),
  THAW_DIR_BUSY: entry(
    409,
    'A local cluster already runs on this folder.',
    'Open the URL given, or choose another folder with --dir.',
  ),
  THAW_TRANSPORT_UNAVAILABLE: entry(
    503,
    'The message broker cannot be reached.',
    'Check that the broker runs and that its URL is right; the link reconnects by itself.',
  ),
  THAW_TRANSPORT_TIMEOUT: entry(
    504,
    'A request was not answered in time.',
    'Try again; if it persists look at the service that should answer.',
  ),
  THAW_TRANSPORT_NO_RESPONDER: entry(
    503,
    'Nobody answers requests on a subject.',
    'Start the service that should answer, or wait until it is up.',
  ),
  THAW_TRANSPORT_REFUSED: entry(
    401,
    'The message broker refused the credentials.',
    'Give the token, or user and password, that the broker was started with.',
  ),
  THAW_TRANSPORT_TOO_LARGE: entry(
    413,
    'A message is larger than the broker allows.',
    'Send smaller chunks, or raise max_payload of the broker.',
  ),
  THAW_TRANSPORT_SUBJECT_INVALID: entry(
    400,
    'A subject or pattern is not valid.',
    'Use non-empty tokens separated by dots, without spaces.',
  ),
  THAW_BROKER_UNUSABLE: entry(
    500,
    'The message broker could not be started.',
    'Install nats-server 2.9 or later, or use the embedded broker.',
  ),
  THAW_DEGRADATION_INVALID: entry(
    400,
    'The parameters of a degradation do not fit each other or the image.',
    'Correct the degradation section of the run file.',
  ),
  THAW_SAMPLING_INVALID: entry(
    400,
    'A sampler was asked for severities that the model does not have.',
    'Ask for severities between 1 and the number of steps of the model.',
  ),
  THAW_STORE_URL_INVALID: entry(
    400,
    'An object store address could not be understood.',
    'Use file:///absolute/folder or s3://bucket/prefix?endpoint=...&region=....',
  ),
  THAW_STORE_KEY_INVALID: entry(
    400,
    'A key cannot name an object in the store.',
    'Use letters, digits, dots, dashes and underscores, in parts separated by slashes.',
  ),
  THAW_STORE_UNAVAILABLE: entry(
    503,
    'The object store did not answer or refused.',
    'Check that the store is reachable, has space and accepts the credentials; then try again.',
  ),
  THAW_STORE_AMBIGUOUS: entry(
    503,
    'A conditional write may or may not have happened.',
    'Read the object again and decide from what it holds now.',
  ),
  THAW_STORE_UNFIT: entry(
    500,
    'The object store does not honour conditional writes.',
    'Use a store that supports If-None-Match and If-Match on PUT, or a folder.',
  ),
  THAW_SAFETENSORS_INVALID: entry(
    400,
    'A file is not valid safetensors.',
    'Write the file again with a safetensors library; do not edit it by hand.',
  ),
  THAW_WEIGHTS_INVALID: entry(
    400,
    'A file of weights does not fit the network of the run that it is to become.',
    'Give a safetensors file with exactly the official names and shapes of the network, float32, and the run file of that network.',
  ),
  THAW_BLOB_CORRUPT: entry(
    500,
    'Stored bytes do not match their SHA-256.',
    'Restore the object from a copy, or load an older checkpoint.',
  ),
  THAW_BLOB_NOT_FOUND: entry(
    404,
    'A blob that is named somewhere is not in the store.',
    'Restore the object from a copy, or load an older checkpoint.',
  ),
  THAW_CHECKPOINT_NOT_FOUND: entry(
    404,
    'There is no such checkpoint.',
    'List the checkpoints of the run and choose one of them.',
  ),
  THAW_CHECKPOINT_INVALID: entry(
    500,
    'A checkpoint is incomplete or contradicts itself.',
    'Load an older checkpoint; keep this one for analysis.',
  ),
  THAW_CHECKPOINT_CONFLICT: entry(
    409,
    'Another checkpoint of the same step has other content.',
    'Two trainers disagree on the weights: compare their fingerprints and logs before going on.',
  ),
  THAW_CHANNEL_NOT_FOUND: entry(
    404,
    'The channel has no record yet, or none that satisfies the request.',
    'Promote a checkpoint to the channel first.',
  ),
  THAW_CHANNEL_INVALID: entry(400, 'A channel record cannot be written as it is.', 'Correct what the message names.'),
  THAW_CHANNEL_MOVED: entry(409, 'The channel moved since it was read.', 'Read the channel again and decide anew.'),
  THAW_CHANNEL_CORRUPT: entry(
    500,
    'A channel log has a record that cannot be right.',
    'Run `thaw audit verify` and restore the log from a copy.',
  ),
  THAW_AUDIT_KEY_INVALID: entry(
    400,
    'The audit key is not an Ed25519 key in PEM form.',
    'Create one with `openssl genpkey -algorithm ed25519`.',
  ),
  THAW_ENGINE_UNKNOWN_KERNEL: entry(
    500,
    'A program uses a tfjs operation that the engine does not know.',
    'Write it with operations of docs/engine-kernels.md.',
  ),
  THAW_ENGINE_VALUE_READ: entry(
    500,
    'A program asked for the value of a tensor while it was being traced.',
    'Compute with tensor operations only; hand numbers that change in as inputs.',
  ),
  THAW_ENGINE_FOREIGN_TENSOR: entry(
    500,
    'A program used a tensor that was made outside of it.',
    'Make the tensor inside the function, or declare it as an input or weight.',
  ),
  THAW_ENGINE_PROGRAM_INVALID: entry(
    500,
    'A program definition contradicts itself or what its function returns.',
    'Correct the definition.',
  ),
  THAW_ENGINE_PROGRAM_CORRUPT: entry(
    500,
    'A lowered program that was kept is not what its digest says, or was lowered for another engine or machine.',
    'Throw it away and lower the program again; never share lowered programs between machines.',
  ),
  THAW_ENGINE_CALL_INVALID: entry(
    400,
    'The tensors of a call do not fit the program.',
    'Hand in every weight and input with the declared type and size.',
  ),
  THAW_ENGINE_UNAVAILABLE: entry(
    500,
    'The engine asked for cannot be used on this machine.',
    'Run `thaw doctor`, or choose `--engine auto`.',
  ),
  THAW_ENGINE_FAILED: entry(
    500,
    'A program failed while it was being prepared or run.',
    'Look at the operation named; report it with the log line.',
  ),
  THAW_ENGINE_WORKER_LOST: entry(
    500,
    'A worker thread of the engine ended during a call.',
    'Make the call again: the worker has been replaced. Check the memory if it happens again.',
  ),
  THAW_ENGINE_ABORTED: entry(499, 'A call was cancelled by its caller.', 'Nothing to do.'),
  THAW_ENGINE_CLOSED: entry(500, 'A call was made on an engine or program that is closed.', 'Open it again.'),
  THAW_ENGINE_NOT_DETERMINISTIC: entry(
    500,
    'A program gave different bits for equal inputs.',
    'Use another engine or device: a run needs equal bits.',
  ),
  THAW_ENGINE_UNSUPPORTED_OP: entry(
    400,
    'A traced function uses an operation that the engine cannot lower.',
    'Write it with supported tfjs ops, or choose an eager engine.',
  ),
  THAW_JOB_INVALID: entry(
    400,
    'A sampling request could not be understood.',
    'Correct the fields named; /openapi.json describes them.',
  ),
  THAW_JOB_NOT_FOUND: entry(404, 'There is no such job.', 'Use the id that POST /v1/jobs answered.'),
  THAW_JOB_NOT_READY: entry(
    409,
    'The job has not come so far yet.',
    'Ask again when GET /v1/jobs/{id} says that the image is done.',
  ),
  THAW_JOB_ENDED: entry(
    410,
    'The job ended without this image.',
    'Read the reason in GET /v1/jobs/{id} and send a new job.',
  ),
  THAW_PRIOR_MISSING: entry(
    422,
    'Images cannot be generated from nothing: the run has no generation prior.',
    'Fit one with `thaw fit-prior --run R`, or use mode "sample" (restores degraded test images) or "restore".',
  ),
  THAW_PRIOR_INVALID: entry(
    422,
    'A generation prior cannot be used.',
    'Fit it again with `thaw fit-prior --run R`, or name another one; docs/diffusion.md says which prior a checkpoint has.',
  ),
  THAW_FEATURES_INVALID: entry(
    422,
    'A network of features cannot be used for the images that are evaluated.',
    'Correct the network or the JSON file beside it; docs/evaluation.md says what is wanted.',
  ),
  THAW_FEATURES_MISSING: entry(
    404,
    'A Frechet distance was asked for and there are no features to take it on.',
    'Train a classifier with `thaw features train --dataset D`, or give a network with --features.',
  ),
  THAW_LABELS_MISSING: entry(
    422,
    'The data set has no labels to train a classifier on.',
    'Pack it with --labels, or give a network of features with --features.',
  ),
  THAW_CHANNEL_UNKNOWN: entry(
    400,
    'There is no channel of this name.',
    'Use one of latest, candidate, canary, stable.',
  ),
  THAW_QUEUE_FULL: entry(
    429,
    'The sampler has as much work as it takes.',
    'Wait for the time in Retry-After and send the job again.',
  ),
  THAW_DEADLINE_EXPIRED: entry(422, 'The deadline of a job passed.', 'Send the job again with a later deadline.'),
  THAW_DRAINING: entry(
    503,
    'The process is shutting down and takes no new work.',
    'Send the request again; another replica answers.',
  ),
  THAW_MODEL_NOT_READY: entry(
    503,
    'No model has been loaded yet.',
    'Wait until a checkpoint was promoted; GET /readyz says what is missing.',
  ),
  THAW_IMAGE_INVALID: entry(
    400,
    'A file is not an image that can be read.',
    'Send a PNG or JPEG file, or a safetensors file with one F32 tensor.',
  ),
  THAW_IMAGE_TOO_LARGE: entry(413, 'An image has too many pixels.', 'Send a smaller image.'),
  THAW_BODY_TOO_LARGE: entry(413, 'A request body is too large.', 'Send less at once.'),
  THAW_MEDIA_TYPE: entry(
    415,
    'A request body has a content type that is not understood here.',
    'Send application/json, or image/png or image/jpeg where an image is expected.',
  ),
  THAW_UNAUTHORIZED: entry(
    401,
    'The request carries no valid token.',
    'Send the header Authorization: Bearer <token>; a local cluster keeps it in cluster.json.',
  ),
  THAW_ORIGIN_REFUSED: entry(
    403,
    'The request comes from a web page or for a host name that is not allowed.',
    'Add the origin or host to the allowed ones of the service.',
  ),
  THAW_ROUTE_NOT_FOUND: entry(404, 'There is nothing at this address.', 'Look at /openapi.json.'),
  THAW_FRAMES_NOT_KEPT: entry(
    409,
    'The job was sent without a frame rate, so no frames are kept.',
    'Send the job with framesPerSecond.',
  ),
  THAW_FINGERPRINT_MISMATCH: entry(
    409,
    'A trainer would not compute the same bits as the run.',
    'Run the same Thaw, engine, Node version and device everywhere, or hand the run over to the new ones.',
  ),
  THAW_HISTORY_DIVERGED: entry(
    500,
    'Two trainers disagree on what was trained so far.',
    'Compare their logs, fingerprints and memory; restart the run from its newest checkpoint.',
  ),
  THAW_RUN_HALTED: entry(
    409,
    'Too many steps in a row had gradients that are not finite.',
    'Branch from an earlier checkpoint with a lower learning rate; going back in the same run would replay the failure.',
  ),
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

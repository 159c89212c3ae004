// The processes that compute: ours and PyTorch's. A request is a line of JSON, its answer another.
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ours = fileURLToPath(new URL('./ours.mjs', import.meta.url));
const torchScript = fileURLToPath(new URL('../peers/torch_unet.py', import.meta.url));
/** As `thaw up` starts its processes (cli/cluster/children.ts). */
const asLaunched = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '1048576' };
const oneThread = { OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1' };

/** A Python with torch: that of THAW_BENCH_PYTHON, else python3; undefined where there is none. */
export function findPython() {
  const python = process.env.THAW_BENCH_PYTHON ?? 'python3';
  const { status, stdout } = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  return status === 0 ? { python, torch: stdout.trim() } : undefined;
}

/** What can compete, by kind of work: ours first; for several workers, who takes part in `workers.mjs`. */
export function contestants(kind, torch, compile) {
  const own = (name, variant) => ({
    name,
    ours: true,
    command: [process.execPath, '--expose-gc', ours, variant],
    compile: false,
  });
  const peer = (name, variant, compiled = false) => ({
    name,
    ours: false,
    command: [torch.python, torchScript, variant],
    compile: compiled,
  });
  const networks = torch && [
    peer('torch NCHW', 'contiguous'),
    peer('torch channels_last', 'channels_last'),
    ...(compile ? [peer('torch.compile', 'contiguous', true)] : []),
  ];
  if (kind === 'adam')
    return [
      own('thaw', 'in place'),
      own('thaw, copied tiles', 'tiles'),
      ...(torch ? [peer('torch fused', 'fused'), peer('torch foreach', 'foreach')] : []),
    ];
  if (kind === 'workers')
    return {
      one: own('one worker', 'inputs'),
      two: own('two workers', 'two'),
      ...(torch && { torch: peer('torch NCHW', 'contiguous') }),
    };
  if (kind === 'serving') return [own('thaw, constant weights', 'constant'), ...(networks ?? [])];
  if (kind === 'forward')
    return [own('thaw, constant weights', 'constant'), own('thaw', 'inputs'), ...(networks ?? [])];
  return [own('thaw', 'inputs'), ...(networks ?? [])];
}

/** Starts a contestant; `ask` resolves with its answer. */
export function start({ command: [program, ...args], name }) {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...(program === process.execPath && asLaunched), ...process.env, ...oneThread },
  });
  let complaint = '';
  child.stderr.on('data', (chunk) => (complaint = (complaint + chunk).slice(-2000)));
  const waiting = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{')) waiting.shift()?.resolve(JSON.parse(line));
  });
  const ended = new Promise((resolve) =>
    child.once('close', (code) => {
      for (const { reject } of waiting.splice(0)) reject(new Error(`${name} ended with ${code}: ${complaint}`));
      resolve();
    }),
  );
  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        child.stdin.write(`${JSON.stringify(request)}\n`);
      }),
    async end() {
      child.stdin.end();
      await ended;
    },
  };
}

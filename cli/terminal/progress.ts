/** One line of progress on a terminal, rewritten in place; on a pipe, a plain line now and then. Always stderr: stdout is for results. */
export interface ProgressState {
  readonly done: number;
  readonly total: number;
  readonly text: string;
}

/** `[######----]  60 %  text`, cut to `columns`. Pure. */
export function progressLine({ done, total, text }: ProgressState, columns: number): string {
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const width = 20;
  const filled = Math.round(share * width);
  const line = `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %  ${text}`;
  return line.length > columns ? line.slice(0, columns - 1) + '…' : line;
}

/** Seconds as a person says them: `42 s`, `3 min 5 s`, `2 h 10 min`. Pure. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'unknown';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export interface Progress {
  update(state: ProgressState): void;
  /** Prints a full line above the progress line. */
  say(line: string): void;
  end(): void;
}

export function createProgress(out: NodeJS.WriteStream = process.stderr, plainIntervalMs = 5000): Progress {
  let shown = false;
  let lastPlainMs = -Infinity;
  const clear = (): void => {
    if (shown) out.write('\r\u001b[K');
    shown = false;
  };
  return {
    update(state) {
      if (out.isTTY) {
        out.write(`\r\u001b[K${progressLine(state, out.columns ?? 80)}`);
        shown = true;
      } else if (performance.now() - lastPlainMs >= plainIntervalMs) {
        lastPlainMs = performance.now();
        out.write(`${progressLine(state, 200)}\n`);
      }
    },
    say(line) {
      clear();
      out.write(`${line}\n`);
    },
    end: clear,
  };
}

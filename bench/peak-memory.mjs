// Peak of resident memory of this process, call by call (Linux; elsewhere that of the whole process so far).
import { readFileSync, writeFileSync } from 'node:fs';

/** Forgets the peak of resident memory, so that what preparation took is not counted as a step's (Linux; elsewhere all is counted). */
export function resetPeakRss() {
  if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5');
}

export function peakRssMiB() {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS / 1024;
  return Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
}

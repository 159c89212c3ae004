/** Computes golden cases and compares them: one by one for the test, a whole folder for `npm run golden`. */
import { runners } from './runners/index.js';
import type { Runner } from './runners/runner.js';
import type { GoldenCase } from './vectors.js';
import { compare, goldenCases } from './vectors.js';

export const runnerOf = (id: string): Runner | undefined => runners.find((runner) => runner.covers.test(id));

/** The deviation that comes closest to its tolerance, or exceeds it most. */
export interface Deviation {
  readonly id: string;
  readonly output: string;
  /** null: infinite, or no number. */
  readonly error: number | null;
  readonly tolerance: number;
}

export interface CaseResult {
  readonly problems: readonly string[];
  /** Outputs compared. */
  readonly compared: number;
  readonly worst?: Deviation;
}

export interface Summary {
  readonly passed: number;
  readonly failed: readonly string[];
  /** Cases that no runner knows: not tried. */
  readonly unknown: readonly string[];
  readonly worst?: Deviation;
}

/** Zero error is no deviation even where nothing is tolerated. */
const strain = ({ error, tolerance }: Deviation): number =>
  error === null ? Infinity : error === 0 ? 0 : error / tolerance;
const worse = (a: Deviation | undefined, b: Deviation | undefined): Deviation | undefined =>
  a === undefined || (b !== undefined && strain(b) > strain(a)) ? b : a;

/** Computes one case and compares every output that its runner does not leave out. */
export async function checkCase(golden: GoldenCase): Promise<CaseResult> {
  const runner = runnerOf(golden.id);
  if (runner === undefined) throw new Error(`no runner covers ${golden.id}`);
  const got = await runner.run(golden);
  const problems: string[] = [];
  let compared = 0;
  let worst: Deviation | undefined;
  for (const [output, { tensor, tolerance }] of golden.wanted()) {
    if (runner.omits !== undefined && output in runner.omits) continue;
    compared++;
    const values = got[output];
    if (values === undefined) {
      problems.push(`${output}: not computed`);
      continue;
    }
    const { problem, error, tolerance: limit } = compare(values, tensor, tolerance);
    if (problem !== undefined) problems.push(`${output}: ${problem}`);
    worst = worse(worst, { id: golden.id, output, error: Number.isFinite(error) ? error : null, tolerance: limit });
  }
  if (compared === 0) problems.push('nothing to compare');
  return { problems, compared, worst };
}

/** Cases whose ids begin alike: `blur/...`, `sampler/...`. */
interface Family {
  cases: number;
  passed: number;
  worst?: Deviation | undefined;
}

/**
 * Every case of a folder of golden vectors. A case whose computation throws has failed.
 * @param report one line per case, then one per family
 */
export async function checkFolder(folder: string, report: (line: string) => void): Promise<Summary> {
  const failed: string[] = [];
  const unknown: string[] = [];
  let passed = 0;
  let worst: Deviation | undefined;
  const families = new Map<string, Family>();
  for (const golden of goldenCases(folder)) {
    const { id } = golden;
    const family = families.get(id.split('/')[0]!) ?? { cases: 0, passed: 0 };
    families.set(id.split('/')[0]!, family);
    family.cases++;
    if (golden.malformed !== undefined) {
      failed.push(id);
      report(`${id}: cannot be tried: ${golden.malformed}`);
      continue;
    }
    if (runnerOf(id) === undefined) {
      unknown.push(id);
      report(`${id}: unknown`);
      continue;
    }
    let result: CaseResult;
    try {
      result = await checkCase(golden);
    } catch (error) {
      result = { problems: [error instanceof Error ? error.message : String(error)], compared: 0 };
    }
    worst = worse(worst, result.worst);
    family.worst = worse(family.worst, result.worst);
    if (result.problems.length === 0) {
      passed++;
      family.passed++;
    } else failed.push(id);
    const { error, tolerance, output } = result.worst ?? {};
    const agreed = `passed, ${result.compared} outputs, nearest to its limit ${output}: ${error} of ${tolerance}`;
    report(`${id}: ${result.problems.length === 0 ? agreed : result.problems.join('; ')}`);
  }
  for (const [name, family] of families) {
    const { id, output, error, tolerance } = family.worst ?? {};
    const nearest = id === undefined ? '' : `, nearest to its limit ${output} of ${id}: ${error} of ${tolerance}`;
    report(`family ${name}: ${family.passed} of ${family.cases} passed${nearest}`);
  }
  return { passed, failed, unknown, worst };
}

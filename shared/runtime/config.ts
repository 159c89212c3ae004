/** One strict schema per process; YAML, then `THAW_*` variables, then command-line options; every problem reported at once. */
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { ThawError } from '@thaw/shared/protocol';
import { coerceText, fieldAt, fieldPaths } from './config-schema.js';

export interface ConfigProblem {
  /** Path of the field, `batch.global`, or the name of an environment variable or source. */
  readonly path: string;
  readonly message: string;
  /** Where the value came from. */
  readonly source: 'yaml' | 'environment' | 'options' | 'default';
}

export interface LoadConfigOptions<S extends z.ZodType> {
  /** A strict object schema. */
  readonly schema: S;
  /** Text of the YAML file, if there is one. */
  readonly yamlText?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Default `THAW_`. `THAW_NATS_URL` sets `natsUrl`; `THAW_HTTP__PORT` sets `http.port`. */
  readonly prefix?: string;
  /** Values from the command line; undefined ones count as absent. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  /** Schemas of the other processes: variables that one of them knows are no mistake here. */
  readonly otherSchemas?: readonly z.ZodType[];
  /** Further names that are no mistake; a trailing `*` matches any ending. */
  readonly knownEnv?: readonly string[];
}

/** Read by the logger, the build and the test suites, not by a schema. */
const alwaysKnown = ['THAW_LOG_LEVEL', 'THAW_CONFIG', 'THAW_TEST_*'];

type Tree = Record<string, unknown>;

/**
 * Merges the sources, checks the result and returns it. Pure: reads no file and no environment of its own.
 * An empty variable counts as not set. Numbers, booleans and lists (comma separated, or JSON) are read from text.
 * @throws ThawError THAW_CONFIG_INVALID naming every problem; `details.problems` is a ConfigProblem[].
 */
export function loadConfig<S extends z.ZodType>(options: LoadConfigOptions<S>): z.output<S> {
  const problems: ConfigProblem[] = [];
  const fromYaml = parseYaml(options.yamlText, problems);
  const fromEnv = readEnvironment(options, problems);
  const fromOptions = withoutUndefined(options.overrides ?? {});
  const merged = merge(merge(fromYaml, fromEnv.tree), fromOptions);
  const result = options.schema.safeParse(merged);
  if (!result.success)
    for (const issue of result.error.issues)
      for (const { path, message } of flattenIssue(issue)) {
        const source = has(fromOptions, path)
          ? 'options'
          : has(fromEnv.tree, path)
            ? 'environment'
            : has(fromYaml, path)
              ? 'yaml'
              : 'default';
        const variable = fromEnv.names.get(path.join('.'));
        const name = path.length === 0 ? '(top level)' : path.join('.');
        problems.push({
          path: name,
          message: source === 'environment' && variable !== undefined ? `${message} (from ${variable})` : message,
          source,
        });
      }
  if (problems.length > 0 || !result.success) {
    const lines = problems.map((problem) => `  ${problem.path}: ${problem.message}`);
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    throw new ThawError('THAW_CONFIG_INVALID', `The configuration has ${count}:\n${lines.join('\n')}`, {
      details: { problems },
    });
  }
  return result.data;
}

function parseYaml(text: string | undefined, problems: ConfigProblem[]): Tree {
  if (text === undefined) return {};
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true });
  for (const error of document.errors)
    problems.push({ path: '(yaml)', message: error.message.split('\n')[0]!, source: 'yaml' });
  if (document.errors.length > 0) return {};
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    problems.push({ path: '(yaml)', message: error instanceof Error ? error.message : String(error), source: 'yaml' });
    return {};
  }
  if (value === null || value === undefined) return {};
  if (isTree(value)) return value;
  problems.push({ path: '(yaml)', message: 'the file must hold a mapping of names to values', source: 'yaml' });
  return {};
}

function readEnvironment<S extends z.ZodType>(
  options: LoadConfigOptions<S>,
  problems: ConfigProblem[],
): { tree: Tree; names: Map<string, string> } {
  const prefix = options.prefix ?? 'THAW_';
  const known = [...alwaysKnown, ...(options.knownEnv ?? [])];
  const names = new Map<string, string>();
  let tree: Tree = {};
  for (const [name, text] of Object.entries(options.env).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.startsWith(prefix) || text === undefined || text === '') continue;
    const path = name.slice(prefix.length).split('__').map(camelCase);
    const field = fieldAt(options.schema, path);
    if (field !== undefined) {
      names.set(path.join('.'), name);
      tree = merge(tree, nest(path, coerceText(field, text)));
    } else if (
      !known.some((pattern) => matches(pattern, name)) &&
      !options.otherSchemas?.some((other) => fieldAt(other, path) !== undefined)
    ) {
      const near = nearest(
        name,
        fieldPaths(options.schema).map((known) => prefix + variableName(known)),
      );
      problems.push({
        path: name,
        message: `no setting has this name${near === undefined ? '' : `; did you mean ${near}?`}`,
        source: 'environment',
      });
    }
  }
  return { tree, names };
}

/** `NATS_URL` -> `natsUrl`. */
const camelCase = (text: string): string =>
  text.toLowerCase().replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
/** `['http', 'maxBodyBytes']` -> `HTTP__MAX_BODY_BYTES`. */
const variableName = (path: readonly string[]): string =>
  path.map((part) => part.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()).join('__');
const matches = (pattern: string, name: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value);
const nest = (path: readonly string[], value: unknown): Tree => ({
  [path[0]!]: path.length === 1 ? value : nest(path.slice(1), value),
});

function merge(below: Tree, above: Tree): Tree {
  const out: Tree = Object.create(null) as Tree;
  for (const [name, value] of Object.entries(below)) out[name] = value;
  for (const [name, value] of Object.entries(above)) {
    const kept = out[name];
    out[name] = isTree(kept) && isTree(value) ? merge(kept, value) : value;
  }
  return { ...out };
}

function withoutUndefined(tree: Readonly<Tree>): Tree {
  const out: Tree = {};
  for (const [name, value] of Object.entries(tree))
    if (value !== undefined) out[name] = isTree(value) ? withoutUndefined(value) : value;
  return out;
}

function has(tree: Tree, path: readonly string[]): boolean {
  let at: unknown = tree;
  for (const part of path) {
    if (Array.isArray(at)) at = at[Number(part)];
    else if (isTree(at) && Object.hasOwn(at, part)) at = at[part];
    else return false;
  }
  return path.length > 0;
}

/** One problem per unknown key; everything else as it is. */
function flattenIssue(issue: z.core.$ZodIssue): { path: string[]; message: string }[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: [...path, key], message: 'no setting has this name' }));
  return [{ path, message: issue.message }];
}

/** The candidate within a small edit distance of `name`, if any. */
function nearest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 5)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** Looking into zod schemas: which fields a configuration has, and how a field is read from text. */
import type { z } from 'zod';

type Def = {
  type: string;
  innerType?: z.ZodType;
  in?: z.ZodType;
  out?: z.ZodType;
  shape?: Record<string, z.ZodType>;
  options?: readonly z.ZodType[];
  values?: readonly unknown[];
  getter?: () => z.ZodType;
};
const defOf = (schema: z.ZodType): Def => schema.def as unknown as Def;
const wrappers = new Set(['optional', 'default', 'prefault', 'nullable', 'readonly', 'catch', 'nonoptional']);

/** The schema without `optional`, `default` and the like. */
function unwrap(schema: z.ZodType): z.ZodType {
  const def = defOf(schema);
  if (wrappers.has(def.type) && def.innerType) return unwrap(def.innerType);
  if (def.type === 'lazy' && def.getter) return unwrap(def.getter());
  if (def.type === 'pipe' && def.in && def.out) return unwrap(defOf(def.in).type === 'transform' ? def.out : def.in);
  return schema;
}

/** The field at `path` of an object schema (through unions the first that has it), or undefined. */
export function fieldAt(schema: z.ZodType, path: readonly string[]): z.ZodType | undefined {
  const bare = unwrap(schema);
  if (path.length === 0) return bare;
  const def = defOf(bare);
  if (def.type === 'object' && def.shape) {
    const field = Object.hasOwn(def.shape, path[0]!) ? def.shape[path[0]!] : undefined;
    return field && fieldAt(field, path.slice(1));
  }
  for (const option of def.type === 'union' ? (def.options ?? []) : []) {
    const field = fieldAt(option, path);
    if (field) return field;
  }
  return undefined;
}

/** Paths of all leaf fields. */
export function fieldPaths(schema: z.ZodType): string[][] {
  const def = defOf(unwrap(schema));
  if (def.type === 'object' && def.shape)
    return Object.entries(def.shape).flatMap(([name, field]) => {
      const below = fieldPaths(field);
      return below.length === 0 ? [[name]] : below.map((path) => [name, ...path]);
    });
  return def.type === 'union' ? (def.options ?? []).flatMap(fieldPaths) : [];
}

/** Reads text as a value of `schema`. Text that does not fit is returned as it is: the schema then says what is wrong. */
export function coerceText(schema: z.ZodType, text: string): unknown {
  const bare = unwrap(schema);
  const def = defOf(bare);
  switch (def.type) {
    case 'number':
    case 'int':
      return toNumber(text) ?? text;
    case 'boolean':
      return /^(true|1|yes|on)$/i.test(text) ? true : /^(false|0|no|off)$/i.test(text) ? false : text;
    case 'literal':
    case 'enum':
      return (def.values ?? []).find((value) => typeof value !== 'string' && String(value) === text) ?? text;
    case 'array':
    case 'tuple':
      return parseJson(text, '[') ?? splitList(bare, text);
    case 'object':
    case 'record':
      return parseJson(text, '{') ?? text;
    case 'union':
      for (const option of def.options ?? []) {
        const value = coerceText(option, text);
        if (option.safeParse(value).success) return value;
      }
      return text;
    default:
      return text;
  }
}

const toNumber = (text: string): number | undefined => {
  const value = Number(text);
  return text.trim() === '' || Number.isNaN(value) ? undefined : value;
};

function splitList(schema: z.ZodType, text: string): unknown[] {
  const element = (schema.def as unknown as { element?: z.ZodType }).element;
  const parts = text.split(',').map((part) => part.trim());
  return element ? parts.map((part) => coerceText(element, part)) : parts;
}

function parseJson(text: string, start: string): unknown {
  if (!text.trimStart().startsWith(start)) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

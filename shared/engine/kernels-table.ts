import { supportedKernels as loweredKernels } from './graph/index.js';
import { supportedKernels as recordedKernels } from './trace/index.js';

/** The table of docs/engine-kernels.md: kernels by family; a star for those recorded in terms of others, which no graph contains. */
export function kernelsTable(): string {
  const families = new Map<string, string[]>();
  for (const { kernel, family } of recordedKernels()) {
    const names = families.get(family) ?? [];
    names.push(loweredKernels.includes(kernel) ? kernel : `${kernel}*`);
    families.set(family, names);
  }
  const rows = [...families].map(([family, names]) => `| ${family} | ${names.join(', ')} |`);
  return ['| family | kernels |', '| --- | --- |', ...rows, ''].join('\n');
}

import { defineConfig } from 'vitest/config';

// Tests run on the TypeScript sources (export condition `thaw-source`); worker threads and child processes
// run on the build, so `npm test` builds first.
const unit = ['shared/**/*.test.ts', 'services/**/*.test.ts', 'cli/**/*.test.ts'];
const slow = { testTimeout: 240_000, hookTimeout: 120_000 };

export default defineConfig({
  resolve: { conditions: ['thaw-source', 'node', 'import', 'default'] },
  ssr: { resolve: { conditions: ['thaw-source', 'node', 'import', 'default'] } },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    exclude: ['**/node_modules/**', '**/dist/**'],
    projects: [
      { extends: true, test: { name: 'unit', include: unit, testTimeout: 60_000 } },
      { extends: true, test: { name: 'golden', include: ['test/golden/**/*.test.ts'], ...slow } },
      { extends: true, test: { name: 'properties', include: ['test/properties/**/*.test.ts'], ...slow } },
      { extends: true, test: { name: 'simulation', include: ['test/simulation/**/*.test.ts'], ...slow } },
      { extends: true, test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'], ...slow } },
      {
        extends: true,
        test: { name: 'processes', include: ['test/processes/**/*.test.ts'], fileParallelism: false, ...slow },
      },
      {
        extends: true,
        test: { name: 'browser', include: ['test/browser/**/*.test.ts'], fileParallelism: false, ...slow },
      },
      { extends: true, test: { name: 'deploy', include: ['test/deploy/**/*.test.ts'], ...slow } },
    ],
  },
});

import tseslint from 'typescript-eslint';

/** Edges: the only places that may touch the clock, the process or the console (docs/architecture.md). */
const edges = [
  '**/io/**',
  '**/main.ts',
  'shared/runtime/**',
  'cli/**',
  'test/**',
  'bench/**',
  'scripts/**',
  '**/*.test.ts',
  '**/*.fixture.ts',
];
const clocks = ['setTimeout', 'setInterval', 'setImmediate', 'performance'].map((name) => ({
  name,
  message: 'Time comes in through the Clock port (shared/runtime).',
}));

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.thaw/**', 'out/**'] },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts', '**/*.mjs', '**/*.js'],
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-explicit-any': 'error',
      eqeqeq: ['error', 'always'],
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['shared/**/*.ts', 'services/**/*.ts'],
    ignores: edges,
    rules: {
      'no-restricted-globals': [
        'error',
        ...clocks,
        { name: 'process', message: 'The process is touched in io/ and main.ts only.' },
        { name: 'console', message: 'Use the logger.' },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Time comes in through the Clock port (shared/runtime).' },
        {
          object: 'Math',
          property: 'random',
          message: 'Randomness comes from RandomStream or the Entropy port (shared/runtime).',
        },
      ],
    },
  },
  { files: ['**/*.cjs'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
);

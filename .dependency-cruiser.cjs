// Import directions. docs/architecture.md explains them; test/deploy/lint.test.ts shows that they bite.
const edges = '(/io/|(^|/)main[.]ts$|[.]test[.]ts$|[.]fixture[.]ts$|^cli/|^shared/runtime/)';
const tensorLibraries =
  '(node_modules/@tensorflow/|node_modules/onnxruntime|^shared/(engine|diffusion|evaluation|model)/)';
const ioModules =
  '^(node:)?(fs|fs/promises|net|tls|dgram|http|https|http2|child_process|worker_threads|cluster|dns|readline)$';
const ioPackages = 'node_modules/(ws|fastify|@fastify|nats|@nats-io|@aws-sdk|sharp|yauzl|pino|playwright-core)/';

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'coordinator-without-tensors',
      comment: 'The coordinator starts in under a second and runs where no tensor library does.',
      severity: 'error',
      from: { path: '^services/coordinator/', pathNot: '[.]test[.]ts$' },
      to: { path: tensorLibraries, reachable: true },
    },
    {
      name: 'nats-only-in-transport',
      severity: 'error',
      from: { path: '^(shared|services|cli)/', pathNot: '^shared/transport/' },
      to: { path: 'node_modules/(nats|@nats-io)/' },
    },
    {
      name: 'io-at-the-edge',
      comment: 'Sockets, files and threads are touched in io/ and main.ts only.',
      severity: 'error',
      from: { path: '^(shared|services)/', pathNot: edges },
      to: { path: `(${ioModules}|${ioPackages})`, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'shared-knows-no-service',
      severity: 'error',
      from: { path: '^shared/' },
      to: { path: '^(services|cli|test|bench)/' },
    },
    {
      name: 'services-stand-alone',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^services/([^/]+)/', pathNot: '^services/$1/' },
    },
    {
      name: 'through-the-door',
      comment: 'A room of shared/ is entered through its index.ts.',
      severity: 'error',
      from: { path: '^(shared/([^/]+)|services/[^/]+|cli)/' },
      to: { path: '^shared/([^/]+)/.+', pathNot: '^shared/($2/|[^/]+/index[.]ts$)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(shared|services/[^/]+|cli)/dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.test.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['thaw-source', 'import', 'node', 'default', 'types'],
    },
  },
};

/** The subcommands of `thaw`: their arguments and help. What they do is in `commands/`. */
export { addAuditCommands } from './audit.js';
export { addClusterCommands } from './cluster.js';
export { addDataCommands } from './data.js';
export { addEngineCommands } from './engine.js';
export { addEvaluationCommands } from './evaluation.js';
export { addJobCommands } from './jobs.js';
export { addServiceCommands } from './services.js';
export { answerWrongUsage } from './usage.js';
export { addWeightsCommands } from './weights.js';

/** Commands on stored jobs of samplers. */
import { type Command } from 'commander';
import { printResult } from '../terminal/output.js';
import { attempt, command, storeToRead, wholeNumber, withStore } from './subcommand.js';

export function addJobCommands(program: Command): void {
  const jobs = program.command('jobs').description('Jobs of samplers as they are stored.');
  withStore(
    command(jobs, 'remove', 'Remove old finished jobs with their images; unfinished ones stay.', [
      'thaw jobs remove --older-than-hours 24 --dry-run',
      'thaw jobs remove --run mnist-demo --store s3://bucket/thaw',
    ]),
  )
    .option('--older-than-hours <n>', 'hours since the last of a job was written', wholeNumber(1), 168)
    .option('--run <name>', 'only jobs on checkpoints of this run')
    .option('--dry-run', 'only say what would be removed', false)
    .action((options) =>
      attempt(options, async () => {
        const { removeJobs } = await import('../commands/jobs.js');
        const report = await removeJobs(storeToRead(options), options);
        printResult(
          report,
          options.json,
          () =>
            `${report.dryRun ? 'Would remove' : 'Removed'} ${report.removed.length} jobs, ${report.removedBytes} bytes; ${report.kept} ${report.dryRun ? 'would stay' : 'stay'}.`,
        );
      }),
    );
}

/** Commands that read the records of channels. */
import { type Command } from 'commander';
import { exitCodes, printResult } from '../terminal/output.js';
import { anchor, attempt, command, storeToRead, time, withStore } from './subcommand.js';

export function addAuditCommands(program: Command): void {
  const audit = program.command('audit').description('What a channel served, when, and whether its records are whole.');
  withStore(
    command(audit, 'verify <channel>', 'Recompute the hash chain of a channel.', [
      'thaw audit verify stable',
      'thaw audit verify stable --anchor 12:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef',
      'thaw audit verify stable --key audit-public.pem',
    ]),
  )
    .option(
      '--anchor <sha256>',
      'head of the chain as the service log or an earlier report gave it, or <seq>:<sha256>: the log must still hold it',
      anchor,
    )
    .option(
      '--key <file...>',
      'public key (PEM) of THAW_AUDIT_KEY: every record must be signed with it, or with one of several',
    )
    .action((channel, options) =>
      attempt(options, async () => {
        const { auditVerify } = await import('../commands/channels.js');
        const report = await auditVerify(storeToRead(options), channel, options.anchor, options.key ?? []);
        printResult(report, options.json, () => JSON.stringify(report, undefined, 2));
        if (report.problems.length > 0) process.exitCode = exitCodes.failed;
      }),
    );
  withStore(command(audit, 'at', 'What a channel served at a time.', ['thaw audit at stable 2026-01-31T12:00:00Z']))
    .argument('<channel>', 'channel')
    .argument('<time>', 'time, ISO 8601', time)
    .action((channel, at, options) =>
      attempt(options, async () => {
        const { auditAt } = await import('../commands/channels.js');
        const record = (await auditAt(storeToRead(options), channel, at)) ?? null;
        printResult(record, options.json, () =>
          record === null ? 'Nothing had been promoted yet.' : JSON.stringify(record, undefined, 2),
        );
      }),
    );
  withStore(command(audit, 'log <channel>', 'All records of a channel.', ['thaw audit log latest --json'])).action(
    (channel, options) =>
      attempt(options, async () => {
        const { auditLog } = await import('../commands/channels.js');
        const records = await auditLog(storeToRead(options), channel);
        printResult(records, options.json, () =>
          records
            .map((r) => {
              const prior = r.prior === undefined ? '' : `  prior ${r.prior.slice(0, 16)}`;
              return `${r.seq}  ${new Date(r.timeMs).toISOString()}  ${r.action}  step ${r.step}  ${r.actor}${prior}`;
            })
            .join('\n'),
        );
      }),
  );
}

/** The services themselves, for containers. */
import type { Command } from 'commander';

export function addServiceCommands(program: Command): void {
  for (const service of ['coordinator', 'trainer', 'sampler'] as const)
    program
      .command(service)
      .description(`Run the ${service} in this process, configured by THAW_* variables.`)
      .addHelpText('after', `\nExamples:\n  $ THAW_STORE_URL=... THAW_NATS_URL=... THAW_RUN=... thaw ${service}`)
      .action(async () => {
        await import(new URL('./main.js', import.meta.resolve(`@thaw/${service}`)).href);
      });
}

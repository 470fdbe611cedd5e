import { Command, CommanderError } from 'commander'
import packageJson from '../package.json' with { type: 'json' }

/** Exit codes: 0 done, 1 a workflow or a test failed, 2 the command or the document is wrong, 130 interrupted. */
const program = new Command('millrace')
  .description(packageJson.description)
  .version(packageJson.version)
  .showHelpAfterError('(run with --help for examples)')
  .exitOverride()

program
  .command('serve')
  .description('serve workflows: webhooks, streams, API and realtime topics on one port')
  .argument('[files...]', 'workflow documents')
  .option('--port <number>', 'port to listen on', process.env.PORT ?? '4600')
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--set <NAME=VALUE...>', 'set a variable, read as $vars.NAME')
  .option('--allow-env <NAME...>', 'let documents read an environment variable as $env.NAME')
  .addHelpText(
    'after',
    '\nExamples:\n  $ millrace serve orders.yaml\n  $ millrace serve *.yaml --port 8080 --set rate=1.2',
  )
  .action(async (files: string[], options) => (await import('./commands/serve.ts')).serve(files, options))

program
  .command('demo')
  .description('drop a video onto a page and watch its thumbnails arrive')
  .option('--port <number>', 'port to listen on', process.env.PORT ?? '4600')
  .addHelpText('after', '\nExamples:\n  $ millrace demo\n  $ millrace demo --port 8080')
  .action(async (options) => (await import('./commands/demo.ts')).demo(options))

try {
  await program.parseAsync()
} catch (thrown) {
  if (thrown instanceof CommanderError) process.exitCode = thrown.exitCode === 0 ? 0 : 2
  else {
    console.error(`millrace: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
    process.exitCode = 1
  }
}

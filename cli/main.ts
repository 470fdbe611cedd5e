import { Command, CommanderError } from 'commander'
import packageJson from '../package.json' with { type: 'json' }

/** Exit codes: 0 done, 1 a workflow or a test failed, 2 the command or the document is wrong, 130 interrupted. */
const program = new Command('millrace')
  .description(packageJson.description)
  .version(packageJson.version)
  .showHelpAfterError('(run with --help for examples)')
  .exitOverride()

program
  .command('run')
  .description('run a workflow until it is done; Ctrl-C drains and says what was done')
  .argument('<file>', 'workflow document')
  .option('--input <json>', 'what a manual trigger starts with: JSON, @FILE, or - for lines of standard input')
  .option('--entry <trigger>', 'the trigger to start at, where there are several')
  .option('--set <NAME=VALUE...>', 'set a variable, read as $vars.NAME')
  .option('--allow-env <NAME...>', 'let the document read an environment variable as $env.NAME')
  .option('--allow-folder <path...>', 'let the document read and write files there')
  .option('--tasks <file...>', 'modules that define tasks for pool nodes')
  .option('--dead-letter <file>', 'append messages that failed for good, as NDJSON')
  .option('--trace <file>', 'append spans of a workflow with `telemetry: trace`, as NDJSON')
  .option('--quiet', 'say nothing unless it fails')
  .addHelpText(
    'after',
    `
Examples:
  $ millrace run hello.yaml --input '{"name":"Ada"}'
  $ cat big.ndjson | millrace run filter.yaml > out.ndjson
  $ millrace run orders.yaml --set rate=1.2 --dead-letter failed.ndjson`,
  )
  .action(async (file: string, options) => (await import('./commands/run.ts')).run(file, options))

program
  .command('lint')
  .description('show all problems of documents')
  .argument('<files...>', 'workflow documents')
  .option('--json', 'one JSON object a document')
  .addHelpText('after', '\nExamples:\n  $ millrace lint orders.yaml\n  $ millrace lint --json *.yaml')
  .action(async (files: string[], options) => (await import('./commands/lint.ts')).lint(files, options))

program
  .command('test')
  .description("run documents' own test cases, on virtual time")
  .argument('<files...>', 'workflow documents')
  .addHelpText('after', '\nExamples:\n  $ millrace test orders.yaml')
  .action(async (files: string[]) => (await import('./commands/test.ts')).test(files))

program
  .command('explain')
  .description('show the plan of a document, its stages and their generated source')
  .argument('<file>', 'workflow document')
  .option('--json', 'the plan as JSON')
  .addHelpText('after', '\nExamples:\n  $ millrace explain orders.yaml')
  .action(async (file: string, options) => (await import('./commands/explain.ts')).explain(file, options))

program
  .command('nodes')
  .description('list node types, or show the docs of one')
  .argument('[type]', 'node type, such as filter')
  .addHelpText('after', '\nExamples:\n  $ millrace nodes\n  $ millrace nodes http.request')
  .action(async (type: string | undefined) => (await import('./commands/nodes.ts')).nodes(type))

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

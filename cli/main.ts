import { Argument, Command, CommanderError } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { holdYoungGeneration } from './boot-memory.ts'
import { collectorOf } from './options.ts'
import { clearProgress } from './progress-line.ts'
import { outputEnded, outputFailure } from './standard-streams.ts'
import { UsageError } from './usage-error.ts'

holdYoungGeneration()

/** Exit codes: 0 done, 1 a workflow or a test failed, 2 the command or the document is wrong, 130 interrupted, 129 by a terminal that was closed. */
const program = new Command('millrace')
  .description(packageJson.description)
  .version(packageJson.version)
  .showHelpAfterError('(run with --help for examples)')
  .showSuggestionAfterError()
  .exitOverride()
  .addHelpText(
    'after',
    `
Examples:
  $ millrace demo
  $ millrace run hello.yaml --input '{"name":"Ada"}'
  $ millrace lint *.yaml
  $ millrace serve hooks.yaml

Exit codes: 0 done, 1 a workflow or a test failed, 2 the command or a document is wrong, 130 interrupted, 129 its terminal was closed`,
  )

/** Each mention of an option takes one value, so that a document may stand after it. */
const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

const worldOptions = (command: Command): Command =>
  command
    .option('--set <NAME=VALUE>', 'set a variable, read as $vars.NAME; may be given often', collect)
    .option(
      '--allow-env <NAME>',
      'let documents read an environment variable as $env.NAME; may be given often',
      collect,
    )
    .option(
      '--allow-folder <path>',
      'let documents use files there, besides their own and this folder; may be given often',
      collect,
    )
    .option('--tasks <file>', 'a module that defines tasks for pool nodes; may be given often', collect)
    .option('--dead-letter <file>', 'append messages that failed for good, as NDJSON')
    .option('--trace <file>', 'append spans of workflows with `telemetry: trace`, as NDJSON')
    .option(
      '--otlp <url>',
      'send those spans to a collector, over OTLP/HTTP',
      // Only what was typed: a variable of the environment may be meant for other programs.
      collectorOf,
      process.env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? process.env.OTEL_EXPORTER_OTLP_ENDPOINT,
    )

worldOptions(
  program
    .command('run')
    .description('run a workflow until it is done; Ctrl-C drains and says what was done, a second one stops at once')
    .argument('<file>', 'workflow document')
    .option('--input <json>', 'what a manual trigger starts with: JSON, @FILE, or - for lines of standard input')
    .option('--entry <trigger>', 'the trigger to start at, where there are several'),
)
  .option('--quiet', 'say nothing unless it fails')
  .addHelpText(
    'after',
    `
Examples:
  $ millrace run hello.yaml --input '{"name":"Ada"}'
  $ millrace run hello.yaml --input @ada.json
  $ cat people.ndjson | millrace run hello.yaml --input - > greetings.ndjson
  $ cat big.ndjson | millrace run filter.yaml > out.ndjson
  $ millrace run orders.yaml --set rate=1.2 --dead-letter failed.ndjson

What leaves a last node and goes nowhere is printed, one line of JSON each.
Lines of standard input run as they come; one that is not JSON goes to the dead-letter with its number.`,
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
  .addHelpText('after', '\nExamples:\n  $ millrace test orders.yaml\n  $ millrace test *.yaml')
  .action(async (files: string[]) => (await import('./commands/test.ts')).test(files))

program
  .command('explain')
  .description('show the plan of a document, its stages and their generated source')
  .argument('<file>', 'workflow document')
  .option('--json', 'the plan as JSON')
  .addHelpText(
    'after',
    '\nExamples:\n  $ millrace explain orders.yaml\n  $ millrace explain orders.yaml --json > plan.json',
  )
  .action(async (file: string, options) => (await import('./commands/explain.ts')).explain(file, options))

program
  .command('nodes')
  .description('list node types, or show the docs of one')
  .argument('[type]', 'node type, such as filter')
  .addHelpText('after', '\nExamples:\n  $ millrace nodes\n  $ millrace nodes http.request')
  .action(async (type: string | undefined) => (await import('./commands/nodes.ts')).nodes(type))

worldOptions(
  program
    .command('serve')
    .description('serve workflows: webhooks, streams, API and realtime topics on one port')
    .argument('[files...]', 'workflow documents')
    .option('--port <number>', 'port to listen on; 0 for any free one', process.env.PORT ?? '4600')
    .option('--host <address>', 'address to listen on; one that others reach needs MILLRACE_TOKEN', '127.0.0.1')
    .option('--origin <url>', 'let pages of this origin call the server; may be given often', collect)
    .option(
      '--hostname <name>',
      'answer under this name, too, as behind a proxy that passes it on; may be given often',
      collect,
    ),
)
  .addHelpText(
    'after',
    `
Examples:
  $ millrace serve orders.yaml
  $ millrace serve *.yaml --port 8080 --set rate=1.2
  $ millrace serve resize.yaml --tasks ./tasks.ts --dead-letter failed.ndjson
  $ millrace serve orders.yaml --origin http://localhost:5173`,
  )
  .action(async (files: string[], options) => (await import('./commands/serve.ts')).serve(files, options))

const remoteOptions = (command: Command): Command =>
  command
    .option('--server <url>', 'the server that it runs on', process.env.MILLRACE_SERVER ?? 'http://127.0.0.1:4600')
    .option('--json', 'print JSON')

for (const [what, description] of [
  ['pause', 'let the stream triggers of a running workflow rest; what is in flight is delivered'],
  ['resume', 'let paused stream triggers of a running workflow go on'],
] as const)
  remoteOptions(program.command(what).description(description))
    .argument('<workflow>', 'its name, or its document')
    .option('--node <id>', 'one trigger; all of them when left out')
    .addHelpText('after', `\nExamples:\n  $ millrace ${what} orders\n  $ millrace ${what} orders.yaml --node in`)
    .action(async (workflow: string, options) =>
      (await import('./commands/control.ts')).control(what, workflow, options),
    )

remoteOptions(
  program.command('seek').description('let stream triggers of a running workflow go on reading somewhere else'),
)
  .argument('<workflow>', 'its name, or its document')
  .requiredOption('--to <where>', 'earliest, latest, an offset, or a time')
  .option('--node <id>', 'one trigger; all of them when left out')
  .addHelpText(
    'after',
    `
Examples:
  $ millrace seek orders --to 2026-01-01T00:00:00Z
  $ millrace seek orders --node in --to 1000
  $ millrace seek orders --to latest`,
  )
  .action(async (workflow: string, options) =>
    (await import('./commands/control.ts')).control('seek', workflow, options),
  )

remoteOptions(
  program.command('reload').description('let the version that stands in the file take over from the one that runs'),
)
  .argument('<workflow>', 'its name, or its document')
  .addHelpText('after', '\nExamples:\n  $ millrace reload orders\n  $ millrace reload orders.yaml')
  .action(async (workflow: string, options) => (await import('./commands/control.ts')).reload(workflow, options))

remoteOptions(program.command('top').description('watch running workflows: rates, lag, what is in flight, who is busy'))
  .argument('[workflow]', 'its name, or its document; all of them when left out')
  .option('--every <seconds>', 'how often the figures are read', '1')
  .option('--once', 'print one line of JSON, and end')
  .addHelpText(
    'after',
    `
Examples:
  $ millrace top
  $ millrace top orders.yaml
  $ millrace top --every 5 > figures.ndjson
  $ millrace top orders --once | jq .workflows[0].lag

On a terminal the screen is drawn in place: q leaves, the arrows scroll. Elsewhere, and with --json, it is one line of JSON each time.`,
  )
  .action(async (workflow: string | undefined, options) => (await import('./commands/top.ts')).top(workflow, options))

remoteOptions(program.command('tap').description('show what leaves a port of a running workflow, without slowing it'))
  .argument('<workflow>', 'its name, or its document')
  .argument('<port>', 'node.port, such as big.out or big.error; the port is `out` when left out')
  .option('--limit <count>', 'end after so many messages')
  .option('--filter <expression>', 'show only messages for which it is true; it reads $json, $key and $meta')
  .addHelpText(
    'after',
    `
Examples:
  $ millrace tap orders big
  $ millrace tap orders.yaml big.error --limit 10
  $ millrace tap orders big --filter '$json.total > 1000'
  $ millrace tap orders big | jq .value.id

Of a busy flow it shows a few hundred messages a second, and says how many went by unseen. Large values are cut.`,
  )
  .action(async (workflow: string, port: string, options) =>
    (await import('./commands/tap.ts')).tap(workflow, port, options),
  )

const deadLetter = program
  .command('dead-letter')
  .description('look at messages that failed for good, and send them again')
  .addHelpText(
    'after',
    '\nExamples:\n  $ millrace dead-letter list orders.yaml\n  $ millrace dead-letter replay orders.yaml --limit 100',
  )

const letterOptions = (command: Command): Command =>
  worldOptions(command)
    .option('--node <id>', 'the trigger whose dead letters are meant; all of them when left out')
    .option('--file <file>', 'a file that was written by --dead-letter, in place of where the triggers keep theirs')
    .option('--limit <count>', 'at most so many')
    .option('--json', 'one JSON object a letter')

letterOptions(deadLetter.command('list').description('show those that wait to be sent again, with their cause'))
  .argument('[file]', 'the workflow document')
  .option('--all', 'those too that have been sent again')
  .addHelpText(
    'after',
    `
Examples:
  $ millrace dead-letter list orders.yaml
  $ millrace dead-letter list orders.yaml --all --json | jq .code
  $ millrace dead-letter list --file failed.ndjson

A trigger keeps its dead letters where its config says, such as deadLetterTopic of kafka.consume.`,
  )
  .action(async (file: string | undefined, options) =>
    (await import('./commands/dead-letter.ts')).listLetters(file, options),
  )

letterOptions(
  deadLetter
    .command('replay')
    .description('send those that wait back to where they came from, and note how far it came'),
)
  .argument('<file>', 'the workflow document')
  .option('--dry-run', 'only show what would be sent')
  .addHelpText(
    'after',
    `
Examples:
  $ millrace dead-letter replay orders.yaml --dry-run
  $ millrace dead-letter replay orders.yaml --limit 100
  $ millrace dead-letter replay hello.yaml --file failed.ndjson --dead-letter again.ndjson

A record goes back to its topic and partition with its key, value and own headers, and with millrace-replayed: how often that was done.
A replay that is cut goes on where it was when it is run again; a few letters may be sent twice, none is lost.
Letters of a file run through the document again from the trigger that gave them, where their values are still what it gave; what leaves a last node and goes nowhere is printed.`,
  )
  .action(async (file: string, options) => (await import('./commands/dead-letter.ts')).replayLetters(file, options))

program
  .command('demo')
  .description('thumbnails: drop a video onto a page and watch them arrive; market: 50,000 trades a second on a screen')
  .addArgument(new Argument('[name]', 'which demo').choices(['thumbnails', 'market']).default('thumbnails'))
  .option('--port <number>', 'port to listen on; 0 for any free one', process.env.PORT ?? '4600')
  .option('--kafka [brokers]', 'market: another process writes the trades to Kafka (127.0.0.1:9092)')
  .option('--clickhouse [url]', 'market: candles are kept in ClickHouse, too (http://127.0.0.1:8123)')
  .option('--per-second <number>', 'market: trades a second', '50000')
  .addHelpText('after', '\nExamples:\n  $ millrace demo\n  $ millrace demo market --port 8080')
  .action(async (name, options) => (await import('./commands/demo.ts')).demo(name, options))

// Nobody but a maintainer can use a stack; the text of the error says what and where.
process.on('uncaughtException', (thrown) => {
  say(thrown)
  process.exit(1)
})

outputEnded.addEventListener('abort', () => {
  const failure = outputFailure()
  if (failure === null) return
  say(new Error(failure))
  process.on('exit', () => {
    process.exitCode ||= 1
  })
})
// There is nobody left to tell of it.
process.stderr.on('error', () => undefined)

try {
  await program.parseAsync()
} catch (thrown) {
  if (thrown instanceof CommanderError) process.exitCode = thrown.exitCode === 0 ? 0 : 2
  else {
    say(thrown)
    process.exitCode = thrown instanceof UsageError ? 2 : 1
  }
}

function say(thrown: unknown): void {
  clearProgress()
  console.error(`millrace: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
}

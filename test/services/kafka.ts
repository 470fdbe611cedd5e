import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Certificates } from './certificates.ts'
import { makeCertificates } from './certificates.ts'
import { fetchOnce } from './fetch-once.ts'
import { freePorts } from './free-ports.ts'
import { kafkaJars } from './kafka-jars.ts'
import { brokersKnownTo } from './kafka-probe.ts'
import type { KafkaPorts } from './kafka-settings.ts'
import { kafkaSettings, logSettings, users } from './kafka-settings.ts'
import type { TiedProcess } from './tied-process.ts'
import { spawnTied } from './tied-process.ts'

export { noKafka } from './kafka-jars.ts'

/** How a client reaches a Kafka; every broker speaks in all these ways at once. Each list is of `host:port`. */
export interface KafkaAddress {
  readonly brokers: readonly string[]
  /** With one of `users`, by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. */
  readonly sasl: readonly string[]
  readonly tls: readonly string[]
  readonly saslTls: readonly string[]
  /** Only with the client's certificate. */
  readonly mutualTls: readonly string[]
  /** For a proxy between a client and each broker: the port to listen on, to which the broker sends clients, and the broker's own. */
  readonly behindProxy: readonly { readonly port: number; readonly target: number }[]
  readonly user: { readonly username: string; readonly password: string }
  readonly certificates: Certificates
}

/** A real Kafka of our own. Brokers are numbered from 1. */
export interface Kafka extends KafkaAddress {
  /** Ends a broker at once, as a power cut would. */
  kill(id: number): Promise<void>
  /** Starts a broker that was killed, on its ports and with its data. */
  restart(id: number): Promise<void>
  /** Stops a broker in its tracks: its connections stay open and nothing answers. */
  freeze(id: number): void
  thaw(id: number): void
  stop(): Promise<void>
}

export interface KafkaOptions {
  /** Three make a cluster in which each topic with three replicas survives the death of one. */
  readonly brokers?: 1 | 3
  /** Lines for each broker's server.properties. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>
}

/** Starts Kafka and resolves when all brokers answer. It ends with this process at the latest. */
export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  return start(options, await brokerClasses(), 'SharedArchiveFile')
}

/**
 * The classes of a broker as the JVM holds them in memory (JEP 350), recorded once by a broker that runs and ends in order. With them a
 * start takes 40 % less of the processor. A JVM that finds none there, or another JVM's, does without.
 */
async function brokerClasses(): Promise<string> {
  const folder = await fetchOnce('kafka-classes', async (into) => {
    const kafka = await start({}, join(into, classesFile), 'ArchiveClassesAtExit')
    await kafka.exit(1).finally(() => kafka.stop())
  })
  return join(folder, classesFile)
}

const classesFile = 'broker.jsa'

/** Options of the JVM: to read classes that were recorded, and to record them. */
type ClassesUse = 'SharedArchiveFile' | 'ArchiveClassesAtExit'

async function start(
  options: KafkaOptions,
  classes: string,
  use: ClassesUse,
): Promise<Kafka & { exit(id: number): Promise<void> }> {
  const jars = await kafkaJars()
  const count = options.brokers ?? 1
  const folder = await mkdtemp(join(tmpdir(), 'millrace-kafka-'))
  const brokers: Broker[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(brokers.map((broker) => broker.end()))
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const certificates = await makeCertificates(folder)
    await writeFile(join(folder, 'server-chain.pem'), certificates.server.key + certificates.server.cert)
    await writeFile(join(folder, 'log4j2.properties'), logSettings)
    const numbers = await freePorts(count * 8)
    const ports = Array.from({ length: count }, (_, index) => portsOf(numbers.slice(index * 8)))
    brokers.push(...ports.map((_, index) => new Broker(folder, jars, classes, use, index + 1)))
    await Promise.all(
      brokers.map((broker) => broker.format(kafkaSettings(folder, broker.id, ports, options.settings ?? {}))),
    )
    const at = (id: number): Broker => {
      const broker = brokers[id - 1]
      if (broker === undefined) throw new Error(`there is no broker ${id}, only 1 to ${count}`)
      return broker
    }
    const untilAllKnow = async (): Promise<void> => {
      const alive = brokers.filter((broker) => broker.alive)
      await Promise.all(alive.map((broker) => broker.untilUp(ports[broker.id - 1]!.plain, alive.length)))
    }
    for (const broker of brokers) broker.start()
    await untilAllKnow()
    const addresses = (kind: keyof KafkaPorts): readonly string[] => ports.map((each) => `127.0.0.1:${each[kind]}`)
    return {
      brokers: addresses('plain'),
      sasl: addresses('sasl'),
      tls: addresses('tls'),
      saslTls: addresses('saslTls'),
      mutualTls: addresses('mutualTls'),
      behindProxy: ports.map((each) => ({ port: each.proxy, target: each.behindProxy })),
      user: users[0]!,
      certificates,
      kill: (id) => at(id).end(),
      exit: (id) => at(id).exit(),
      restart: async (id) => {
        await at(id).end()
        at(id).start()
        await untilAllKnow()
      },
      freeze: (id) => at(id).signal('SIGSTOP'),
      thaw: (id) => at(id).signal('SIGCONT'),
      stop,
    }
  } catch (thrown) {
    await stop()
    throw new Error(`Kafka did not start: ${thrown instanceof Error ? thrown.message : thrown}`, { cause: thrown })
  }
}

function portsOf(numbers: readonly number[]): KafkaPorts {
  const [plain, sasl, tls, saslTls, mutualTls, behindProxy, proxy, controller] = numbers
  return {
    plain: plain!,
    sasl: sasl!,
    tls: tls!,
    saslTls: saslTls!,
    mutualTls: mutualTls!,
    behindProxy: behindProxy!,
    proxy: proxy!,
    controller: controller!,
  }
}

/** A quick start and little memory matter more here than the last bit of speed. */
const jvm = ['-Xmx384m', '-Xss512k', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

class Broker {
  readonly id: number
  readonly #folder: string
  readonly #jars: string
  readonly #classes: string
  readonly #use: ClassesUse
  #process: TiedProcess | null = null

  constructor(folder: string, jars: string, classes: string, use: ClassesUse, id: number) {
    this.id = id
    this.#folder = folder
    this.#jars = jars
    this.#classes = classes
    this.#use = use
  }

  get alive(): boolean {
    return this.#process?.alive === true
  }

  async format(settings: string): Promise<void> {
    await mkdir(join(this.#folder, `data-${this.id}`))
    await writeFile(join(this.#folder, `server-${this.id}.properties`), settings)
    const scram = users.flatMap((user) =>
      [256, 512].flatMap((bits) => [
        '--add-scram',
        `SCRAM-SHA-${bits}=[name=${user.username},password=${user.password}]`,
      ]),
    )
    const tool = ['kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', this.#settings]
    await promisify(execFile)('java', [...this.#java('SharedArchiveFile'), ...tool, ...scram], {
      cwd: this.#folder,
      timeout: 60_000,
    })
  }

  start(): void {
    this.#process = spawnTied('java', [...this.#java(this.#use), 'kafka.Kafka', this.#settings], {
      cwd: this.#folder,
      log: join(this.#folder, `broker-${this.id}.log`),
      folder: this.#folder,
    })
  }

  /** Resolves when the broker answers and knows of as many brokers as are alive. */
  async untilUp(port: number, brokers: number): Promise<void> {
    const broker = this.#process
    if (broker === null) return
    const limit = Date.now() + 90_000
    while ((await brokersKnownTo(port)) < brokers) {
      if (!broker.alive) throw new Error(`broker ${this.id} ended:\n${broker.lastWords()}`)
      if (Date.now() > limit) throw new Error(`broker ${this.id} is not up after 90 s:\n${broker.lastWords()}`)
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal)
  }

  /** Ends in order, within a minute. */
  async exit(): Promise<void> {
    this.#process?.kill('SIGTERM')
    const limit = new AbortController()
    await Promise.race([this.#process?.ended, delay(60_000, undefined, { signal: limit.signal, ref: false })])
    limit.abort()
  }

  async end(): Promise<void> {
    this.#process?.kill('SIGKILL')
    await this.#process?.ended
  }

  get #settings(): string {
    return `server-${this.id}.properties`
  }

  #java(use: ClassesUse): readonly string[] {
    return [
      ...jvm,
      `-XX:${use}=${this.#classes}`,
      '-Dlog4j2.configurationFile=log4j2.properties',
      '-cp',
      join(this.#jars, '*'),
    ]
  }
}

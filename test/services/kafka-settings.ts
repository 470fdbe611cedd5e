import { join } from 'node:path'

/** The ports of one broker. */
export interface KafkaPorts {
  readonly plain: number
  readonly sasl: number
  readonly tls: number
  readonly saslTls: number
  readonly mutualTls: number
  /** Where the broker listens, and where it tells clients of this listener to go: for a proxy in between. */
  readonly behindProxy: number
  readonly proxy: number
  readonly controller: number
}

/** Who may log in. */
export const users = [{ username: 'mill', password: 'wheel' }] as const

/** A broker's server.properties: small, quick to fail over and to forget, and strict where production is. */
export function kafkaSettings(
  folder: string,
  id: number,
  ports: readonly KafkaPorts[],
  more: Readonly<Record<string, string | number | boolean>>,
): string {
  const own = ports[id - 1]!
  const replicas = ports.length
  const plain = users.map((user) => `user_${user.username}="${user.password}"`).join(' ')
  const security = 'org.apache.kafka.common.security'
  const lines: Readonly<Record<string, string | number | boolean>> = {
    'process.roles': 'broker,controller',
    'node.id': id,
    'controller.quorum.voters': ports.map((each, index) => `${index + 1}@127.0.0.1:${each.controller}`).join(','),
    listeners: [
      `PLAIN://127.0.0.1:${own.plain}`,
      `SASL://127.0.0.1:${own.sasl}`,
      `TLS://127.0.0.1:${own.tls}`,
      `SASL_TLS://127.0.0.1:${own.saslTls}`,
      `MUTUAL_TLS://127.0.0.1:${own.mutualTls}`,
      `BEHIND_PROXY://127.0.0.1:${own.behindProxy}`,
      `CONTROLLER://127.0.0.1:${own.controller}`,
    ].join(','),
    'advertised.listeners': [
      `PLAIN://127.0.0.1:${own.plain}`,
      `SASL://127.0.0.1:${own.sasl}`,
      `TLS://127.0.0.1:${own.tls}`,
      `SASL_TLS://127.0.0.1:${own.saslTls}`,
      `MUTUAL_TLS://127.0.0.1:${own.mutualTls}`,
      `BEHIND_PROXY://127.0.0.1:${own.proxy}`,
    ].join(','),
    'listener.security.protocol.map':
      'CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,SASL_TLS:SASL_SSL,MUTUAL_TLS:SSL,BEHIND_PROXY:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAIN',
    'log.dirs': join(folder, `data-${id}`),
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': join(folder, 'server-chain.pem'),
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': join(folder, 'ca.pem'),
    'listener.name.mutual_tls.ssl.client.auth': 'required',
    'auto.create.topics.enable': false,
    'num.partitions': 1,
    'default.replication.factor': replicas,
    'min.insync.replicas': replicas > 1 ? 2 : 1,
    'offsets.topic.num.partitions': 3,
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.num.partitions': 3,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': replicas > 1 ? 2 : 1,
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': 500,
    'group.initial.rebalance.delay.ms': 0,
    'group.min.session.timeout.ms': 500,
    'group.consumer.min.session.timeout.ms': 500,
    'group.consumer.min.heartbeat.interval.ms': 100,
    'log.cleaner.dedupe.buffer.size': 2 * 1024 * 1024,
    'broker.session.timeout.ms': 3_000,
    'broker.heartbeat.interval.ms': 500,
    'replica.lag.time.max.ms': 3_000,
    ...more,
  }
  const mechanisms = ['sasl', 'sasl_tls'].flatMap((listener) => [
    `listener.name.${listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512`,
    `listener.name.${listener}.plain.sasl.jaas.config=${security}.plain.PlainLoginModule required ${plain};`,
    `listener.name.${listener}.scram-sha-256.sasl.jaas.config=${security}.scram.ScramLoginModule required;`,
    `listener.name.${listener}.scram-sha-512.sasl.jaas.config=${security}.scram.ScramLoginModule required;`,
  ])
  return [...Object.entries(lines).map(([name, value]) => `${name}=${value}`), ...mechanisms, ''].join('\n')
}

/** Warnings to standard output: what is read when a start fails. */
export const logSettings = `status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
`

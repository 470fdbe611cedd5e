import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { describe, expect } from 'vitest'
import { freePorts } from '../../test/services/free-ports.ts'
import type { Desk } from './conformance-desk.ts'
import { driverTest, numbered } from './conformance-desk.ts'
import type { ConnectionOptions, DriverName } from './driver.ts'

/** Connections: TLS, SASL, brokers that are not there, and closing. */
export function connections(name: DriverName): void {
  describe('connects', () => {
    const ways: Readonly<Record<string, (desk: Desk) => Partial<ConnectionOptions>>> = {
      'by PLAIN': (desk) => ({ brokers: desk.kafka.sasl, sasl: { mechanism: 'plain', ...desk.kafka.user } }),
      'by SCRAM-SHA-256': (desk) => ({
        brokers: desk.kafka.sasl,
        sasl: { mechanism: 'scram-sha-256', ...desk.kafka.user },
      }),
      'by SCRAM-SHA-512 over TLS': (desk) => ({
        brokers: desk.kafka.saslTls,
        tls: trusting(desk),
        sasl: { mechanism: 'scram-sha-512', ...desk.kafka.user },
      }),
      'by TLS': (desk) => ({ brokers: desk.kafka.tls, tls: trusting(desk) }),
      'by TLS that is not verified': (desk) => ({
        brokers: desk.kafka.tls,
        tls: { ca: null, cert: null, key: null, verify: false },
      }),
      'by TLS with a certificate of its own': (desk) => ({
        brokers: desk.kafka.mutualTls,
        tls: { ...trusting(desk), ...desk.kafka.certificates.client },
      }),
    }
    for (const [way, optionsFor] of Object.entries(ways)) {
      driverTest(name, way, async (desk) => {
        const options = optionsFor(desk)
        const topic = await desk.topic()
        await desk.write(numbered(topic, 3), options)
        const reading = await desk.read({ group: desk.group([topic]), ...options })
        await reading.untilRead(3)
        await reading.consumer.commit(reading.positions)
      })
    }

    driverTest(name, 'not with a wrong password, and says so without it', async (desk) => {
      for (const mechanism of ['plain', 'scram-sha-512'] as const) {
        const sasl = { mechanism, username: desk.kafka.user.username, password: 'secret-guess' }
        const options = { brokers: desk.kafka.sasl, sasl }
        for (const opening of openings(desk, options)) {
          const thrown: unknown = await opening().catch((error: unknown) => error)
          expect(thrown).toMatchObject({ code: 'kafka.not-authenticated', retriable: false })
          expect(String(thrown)).not.toContain('secret-guess')
        }
      }
    })

    driverTest(name, 'not to whom it does not trust', async (desk) => {
      const options = { brokers: desk.kafka.tls, tls: { ca: null, cert: null, key: null, verify: true } }
      for (const opening of openings(desk, options)) {
        await expect(opening()).rejects.toMatchObject({ code: 'kafka.unreachable' })
      }
    })

    driverTest(name, 'not to a port where nobody listens', async (desk) => {
      const [port] = await freePorts(1)
      for (const opening of openings(desk, { brokers: [`127.0.0.1:${port}`] })) {
        await expect(opening()).rejects.toMatchObject({ code: 'kafka.unreachable', retriable: true })
      }
    })

    driverTest(name, 'not to one who never answers, and gives up in time', async (desk) => {
      const silent = createServer(() => undefined)
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
      try {
        const address = silent.address()
        if (address === null || typeof address === 'string') throw new Error('no port')
        const options = { brokers: [`127.0.0.1:${address.port}`], connectMsMax: 500, requestMsMax: 500 }
        for (const opening of openings(desk, options)) {
          await expect(opening()).rejects.toMatchObject({ retriable: true })
        }
      } finally {
        silent.close()
      }
    })

    driverTest(name, 'by the first broker of the list that answers', async (desk) => {
      const [port] = await freePorts(1)
      const topic = await desk.topic()
      const brokers = [`127.0.0.1:${port}`, ...desk.kafka.brokers]
      await desk.write(numbered(topic, 1), { brokers })
      const reading = await desk.read({ group: desk.group([topic]), brokers })
      await reading.untilRead(1)
    })

    driverTest(name, 'not to a topic that does not exist', async (desk) => {
      const group = desk.group(['no-such-topic'])
      await expect(desk.read({ group })).rejects.toMatchObject({ code: 'kafka.unknown-topic' })
      await expect(desk.read({ assigned: [{ topic: 'no-such-topic', partition: 0 }] })).rejects.toMatchObject({
        code: 'kafka.unknown-topic',
      })
    })

    driverTest(name, 'and leaves no handle open when it is closed', async (desk) => {
      const topic = await desk.topic()
      await desk.write(numbered(topic, 5))
      const program = fileURLToPath(new URL('conformance-closing.ts', import.meta.url))
      const child = spawn(process.execPath, [program, name, topic, ...desk.kafka.brokers], {
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 30_000,
      })
      let said = ''
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
      child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
      const code = await new Promise((resolve) => child.on('close', resolve))
      expect({ code, said }).toMatchObject({ code: 0, said: expect.stringContaining('closed') })
      expect(Number(/left after (\d+) ms/.exec(said)?.[1])).toBeLessThan(2_000)
    })

    driverTest(name, 'and may be closed twice', async (desk) => {
      const topic = await desk.topic()
      const producer = await desk.producer()
      await producer.close()
      await producer.close()
      const reading = await desk.read({ group: desk.group([topic]) })
      await Promise.all([reading.close(), reading.close()])
      expect(reading.consumer.take()).toBe(null)
    })
  })
}

function trusting(desk: Desk): NonNullable<ConnectionOptions['tls']> {
  return { ca: desk.kafka.certificates.ca, cert: null, key: null, verify: true }
}

/** The three ways to open something. */
function openings(desk: Desk, over: Partial<ConnectionOptions>): readonly (() => Promise<unknown>)[] {
  return [
    () => desk.driver.openAdmin(desk.connection(over)),
    () => desk.driver.openProducer(desk.producerOptions(over)),
    () => desk.read({ group: desk.group(['any']), ...over }),
  ]
}

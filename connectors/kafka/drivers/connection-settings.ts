import type { ConnectionOptions as LinkOptions } from '@platformatic/kafka'
import { SASLMechanisms } from '@platformatic/kafka'
import type { ConnectionOptions, SaslOptions } from '../driver.ts'

/** How @platformatic/kafka connects, by our options. */
export function connectionSettings(options: ConnectionOptions): LinkOptions {
  const { tls, sasl } = options
  return {
    connectTimeout: options.connectMsMax,
    requestTimeout: options.requestMsMax,
    tls:
      tls === null
        ? undefined
        : {
            ca: tls.ca ?? undefined,
            cert: tls.cert ?? undefined,
            key: tls.key ?? undefined,
            rejectUnauthorized: tls.verify,
          },
    sasl:
      sasl === null
        ? undefined
        : { mechanism: mechanisms[sasl.mechanism], username: sasl.username, password: sasl.password },
  }
}

const mechanisms = {
  plain: SASLMechanisms.PLAIN,
  'scram-sha-256': SASLMechanisms.SCRAM_SHA_256,
  'scram-sha-512': SASLMechanisms.SCRAM_SHA_512,
} as const satisfies Record<SaslOptions['mechanism'], string>

/** `host:port` or `[address]:port`. */
export function placeOf(broker: string): { readonly host: string; readonly port: number } {
  const colon = broker.lastIndexOf(':')
  const host = broker.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  return { host, port: Number(broker.slice(colon + 1)) }
}

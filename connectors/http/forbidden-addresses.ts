import type { LookupAddress, LookupOptions } from 'node:dns'
import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { BlockList, isIP } from 'node:net'
import { NodeError } from '../../core/flow/failure.ts'

/**
 * Where clouds hand out the credentials of a machine to whoever asks from inside: link-local addresses (RFC 3927, RFC 4291),
 * and the ones that Amazon, Google, Alibaba and Oracle use besides. A workflow that can be made to ask there gives the machine away.
 */
const forbidden = new BlockList()
forbidden.addSubnet('169.254.0.0', 16, 'ipv4')
forbidden.addAddress('100.100.100.200', 'ipv4')
forbidden.addAddress('192.0.0.192', 'ipv4')
forbidden.addSubnet('fe80::', 10, 'ipv6')
forbidden.addAddress('fd00:ec2::254', 'ipv6')
forbidden.addAddress('fd20:ce::254', 'ipv6')
// The same IPv4 addresses as seen through NAT64 (RFC 6052).
forbidden.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6')
forbidden.addAddress('64:ff9b::6464:64c8', 'ipv6')
forbidden.addAddress('64:ff9b::c000:c0', 'ipv6')

/** Whether requests to an IP address are refused. */
export function isForbidden(address: string): boolean {
  const version = isIP(address)
  return version !== 0 && forbidden.check(address, version === 4 ? 'ipv4' : 'ipv6')
}

/** Throws a NodeError for a URL whose host is a forbidden address as it stands; names are asked about when they are looked up. */
export function refuseForbidden(url: URL): void {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isForbidden(host)) throw refused(host)
}

/** The system's own look-up of names, which refuses one that leads to a forbidden address. */
export const guardedLookup: LookupFunction = (name, options, done) => {
  const all: LookupOptions & { readonly all: true } = { ...options, all: true }
  lookup(name, all, (error, found: readonly LookupAddress[]) => {
    if (error !== null) return done(error, '')
    const wrong = found.find(({ address }) => isForbidden(address))
    if (wrong !== undefined) return done(refused(`${name} (${wrong.address})`), '')
    const [first] = found
    if (options.all === true) done(null, [...found])
    else done(null, first?.address ?? '', first?.family)
  })
}

function refused(host: string): NodeError {
  return new NodeError(
    'http.forbidden-address',
    `requests to ${host} are refused: credentials of the machine can be read there`,
  )
}

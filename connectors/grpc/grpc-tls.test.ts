import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createFiles } from '../../server/files.ts'
import { realFlow } from '../../test/real-flow.ts'
import type { Certificates } from '../../test/services/certificates.ts'
import { makeCertificates } from '../../test/services/certificates.ts'
import type { RunningShop } from './shop.fixture.ts'
import { openShop } from './shop.fixture.ts'

const noOpenssl = (process.env.PATH ?? '').split(':').some((each) => existsSync(join(each, 'openssl')))
  ? null
  : 'skipped: no openssl; get it by apt-get install openssl'

let shop: RunningShop
let folder: string

/** A server that asks each client for a certificate of its authority, and the files of a client, and of a stranger. */
beforeAll(async () => {
  if (noOpenssl !== null) return
  folder = await mkdtemp(join(tmpdir(), 'millrace-grpc-tls-'))
  const own = await makeCertificates(folder)
  await writeFiles('own', own)
  const elsewhere = await mkdtemp(join(tmpdir(), 'millrace-grpc-tls-'))
  await writeFiles('foreign', await makeCertificates(elsewhere))
  await rm(elsewhere, { recursive: true })
  const pair = { private_key: Buffer.from(own.server.key), cert_chain: Buffer.from(own.server.cert) }
  shop = await openShop(
    { get: (asked, _call, answer) => answer(null, { id: asked.id }) },
    grpc.ServerCredentials.createSsl(Buffer.from(own.ca), [pair], true),
  )
})

afterAll(async () => {
  await shop?.stop()
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
})

beforeEach((context) => {
  if (noOpenssl !== null) context.skip(noOpenssl)
})

async function writeFiles(name: string, certificates: Certificates): Promise<void> {
  await writeFile(join(folder, `${name}-ca.pem`), certificates.ca)
  await writeFile(join(folder, `${name}.pem`), certificates.client.cert)
  await writeFile(join(folder, `${name}.key`), certificates.client.key)
}

async function callWith(tls: unknown, address = shop.address): Promise<readonly unknown[]> {
  const given = JSON.parse(JSON.stringify(tls).replaceAll('DIR', folder))
  const flow = await realFlow(
    {
      millrace: 1,
      name: 'tls',
      nodes: {
        go: { type: 'generate@1', config: { count: 1, value: "{{ { id: 'a' } }}" } },
        call: {
          type: 'grpc.call@1',
          config: {
            address,
            tls: given,
            proto: join(shop.folder, 'shop.proto'),
            protoFolders: [join(shop.folder, 'more')],
            service: 'shop.Shop',
            method: 'Get',
            timeoutMs: 5_000,
          },
        },
        got: { type: 'test.keep@1' },
      },
      edges: ['go -> call', 'call -> got', 'call.error -> got'],
    },
    { host: { files: createFiles({ allowed: [shop.folder, folder] }) } },
  )
  expect((await flow.finish()).outcome).toMatchObject({ state: 'done' })
  return flow.kept
}

const ca = 'DIR/own-ca.pem'
const own = { cert: 'DIR/own.pem', key: 'DIR/own.key' }

describe('grpc over TLS', () => {
  test('a client shows its certificate, and checks the server’s', async () => {
    expect(await callWith({ ca, ...own })).toMatchObject([{ id: 'a' }])
  })

  test('the server’s name may be another than the host’s', async () => {
    expect(await callWith({ ca, ...own, serverName: 'localhost' })).toMatchObject([{ id: 'a' }])
    expect(await callWith({ ca, ...own, serverName: 'elsewhere' })).toMatchObject([
      { error: { code: 'grpc.unavailable' } },
    ])
  })

  test.each([
    ['no certificate', { ca }],
    ['a certificate of a foreign authority', { ca, cert: 'DIR/foreign.pem', key: 'DIR/foreign.key' }],
    ['an authority that did not sign the server’s', { ca: 'DIR/foreign-ca.pem', ...own }],
    ['only the authorities of the system', true],
    ['no TLS', false],
  ])('%s: the call fails', async (_, tls) => {
    expect(await callWith(tls)).toMatchObject([{ error: { code: 'grpc.unavailable' } }])
  })

  test.each([
    ['a key that is not the certificate’s', { ca, cert: 'DIR/own.pem', key: 'DIR/foreign.key' }],
    ['a certificate without its key', { ca, cert: 'DIR/own.pem' }],
    ['a file that holds no certificate', { ca, cert: 'DIR/own.key', key: 'DIR/own.key' }],
  ])('%s is a problem at the start', async (_, tls) => {
    await expect(callWith(tls)).rejects.toThrow(/certificates of `tls` cannot be used/)
  })
})

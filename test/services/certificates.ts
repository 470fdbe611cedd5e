import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** PEM texts of one authority, a server on 127.0.0.1 and localhost, and a client. */
export interface Certificates {
  readonly ca: string
  readonly server: Certificate
  readonly client: Certificate
}

export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** Makes an authority and what it signs, by openssl, in a folder; valid for a day. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const openssl = (args: string): Promise<unknown> =>
    promisify(execFile)('openssl', args.split(' '), { cwd: folder, timeout: 30_000 })
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
  await openssl(`req -x509 ${key} -subj /CN=authority -days 1 -keyout ca.key -out ca.pem`)
  await writeFile(join(folder, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  const read = (file: string): Promise<string> => readFile(join(folder, file), 'utf8')
  const sign = async (name: string): Promise<Certificate> => {
    await openssl(`req ${key} -subj /CN=${name} -keyout ${name}.key -out ${name}.csr`)
    const authority = '-CA ca.pem -CAkey ca.key -CAcreateserial'
    await openssl(`x509 -req -in ${name}.csr ${authority} -days 1 -extfile names -out ${name}.pem`)
    return { cert: await read(`${name}.pem`), key: await read(`${name}.key`) }
  }
  return { server: await sign('server'), client: await sign('client'), ca: await read('ca.pem') }
}

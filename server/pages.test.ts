import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MillraceServer } from './create-server.ts'
import { createServer } from './create-server.ts'
import { sdkPages } from './sdk-pages.ts'

let server: MillraceServer
let folder: string
let pages: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pages-test-'))
  pages = join(folder, 'pages')
  await mkdir(join(pages, 'sub'), { recursive: true })
  await writeFile(join(folder, 'secret.txt'), 'secret')
  await writeFile(join(pages, 'index.html'), '<title>Home</title>')
  await writeFile(join(pages, 'sub', 'index.html'), 'sub')
  await writeFile(join(pages, 'page.ts'), 'interface A { readonly a: number }\nexport const a: A = { a: 1 }\n')
  await writeFile(join(pages, 'page.test.ts'), 'test')
  await writeFile(join(pages, '.env'), 'secret')
  await writeFile(join(pages, 'clip.mp4'), '0123456789')
  await writeFile(join(pages, 'empty.css'), '')
  await symlink(join(folder, 'secret.txt'), join(pages, 'link.txt'))
  server = await createServer({ port: 0, pages: [{ path: '/', directory: pages }, ...sdkPages] })
})
afterAll(async () => {
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

const get = (path: string, init: RequestInit = {}): Promise<Response> => fetch(server.url + path, init)

/** A request line that fetch would tidy up before sending it. */
function rawStatus(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(server.port, '127.0.0.1', () =>
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
    )
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString()
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

describe('pages', () => {
  it('are served with their type and a policy that lets nothing foreign in', async () => {
    const response = await get('/')
    expect(await response.text()).toBe('<title>Home</title>')
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(response.headers.get('content-security-policy')).toContain("default-src 'self'")
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(await (await get('/sub/')).text()).toBe('sub')
    expect(await (await get('/empty.css')).text()).toBe('')
  })

  it('bring TypeScript as JavaScript whose lines stay where they were', async () => {
    const response = await get('/page.ts')
    expect(response.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    expect((await response.text()).split('\n')[1]?.trim()).toBe('export const a    = { a: 1 }')
  })

  it('bring the SDK, which a page imports with all that it needs', async () => {
    const seen = new Set<string>()
    const load = async (path: string): Promise<void> => {
      if (seen.has(path)) return
      seen.add(path)
      const response = await get(path)
      expect([path, response.status]).toStrictEqual([path, 200])
      const code = await response.text()
      for (const [, specifier = ''] of code.matchAll(/from '(\.[^']+)'/g))
        await load(new URL(specifier, `http://x${path}`).pathname)
    }
    await load('/sdk/index.ts')
    expect(seen).toContain('/core/protocol/frame.ts')
  })

  it('are asked for again only when they have changed', async () => {
    const first = await get('/page.ts')
    const etag = first.headers.get('etag') ?? ''
    expect((await get('/page.ts', { headers: { 'if-none-match': etag } })).status).toBe(304)
    await writeFile(join(pages, 'page.ts'), 'export const b: number = 2\n')
    await utimes(join(pages, 'page.ts'), new Date(), new Date(Date.now() + 5000))
    const second = await get('/page.ts', { headers: { 'if-none-match': etag } })
    expect(await second.text()).toContain('export const b')
  })

  it('let a browser seek in a video', async () => {
    const part = await get('/clip.mp4', { headers: { range: 'bytes=2-4' } })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toStrictEqual([
      206,
      'bytes 2-4/10',
      '234',
    ])
    const rest = await get('/clip.mp4', { headers: { range: 'bytes=7-' } })
    expect(await rest.text()).toBe('789')
    const head = await get('/clip.mp4', { method: 'HEAD' })
    expect([head.headers.get('content-length'), await head.text()]).toStrictEqual(['10', ''])
  })

  it.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/sub/..%2f..%2fsecret.txt',
    '/%2e%2e%5csecret.txt',
    '//etc/passwd',
    '/link.txt',
    '/.env',
    '/page.test.ts',
    '/%00',
    '/%ff',
    '/sdk/../.env',
    '/sub/%2e%2e/%2e%2e/secret.txt',
  ])('give nothing away at %s', async (path) => {
    const answer = await rawStatus(path)
    expect(answer).toMatch(/^HTTP\/1\.1 (404|400) /)
    expect(answer).not.toContain('\r\n\r\nsecret')
  })

  it('take no other methods', async () => {
    expect((await get('/', { method: 'POST', body: 'x' })).status).toBe(405)
  })
})

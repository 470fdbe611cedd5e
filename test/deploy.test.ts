import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { MillraceServer } from '../server/create-server.ts'
import { createServer } from '../server/create-server.ts'
import { defaultLimits } from '../server/limits.ts'
import { root } from './source-files.ts'

const text = (path: string): string => readFileSync(join(root, path), 'utf8')

describe('metrics that are written down', () => {
  let server: MillraceServer
  let known: ReadonlySet<string>
  beforeAll(async () => {
    server = await createServer({ port: 0 })
    const told = await (await fetch(`${server.url}/metrics`)).text()
    known = new Set([...told.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name))
  })
  afterAll(() => server.close())

  test.each(['deploy/grafana/millrace.json', 'docs/operations.md'])('all of those in %s are there', (path) => {
    const named = [...text(path).matchAll(/\b(?:millrace|nodejs|process)_[a-z0-9_]+\b/g)].map(([name]) => name)
    expect(named.length).toBeGreaterThan(15)
    expect([...new Set(named)].filter((name) => !known.has(name))).toEqual([])
  })

  test('none is left out of docs/operations.md', () => {
    const page = text('docs/operations.md')
    expect([...known].filter((name) => !page.includes(`\`${name}\``))).toEqual([])
  })
})

describe('docker-compose.kafka.yml', () => {
  const compose: {
    services: Record<
      string,
      { ports: string[]; volumes?: string[]; healthcheck?: unknown; build?: string; stop_grace_period?: string }
    >
    volumes: Record<string, unknown>
  } = parse(text('docker-compose.kafka.yml'))

  test('opens ports on this machine only, and each service is looked after', () => {
    expect(Object.keys(compose.services)).toEqual(['kafka', 'clickhouse', 'millrace', 'prometheus', 'grafana'])
    for (const [name, service] of Object.entries(compose.services)) {
      for (const port of service.ports) expect(port).toMatch(/^127\.0\.0\.1:/)
      // The image of Millrace brings its own.
      expect(service.healthcheck !== undefined || service.build !== undefined, name).toBe(true)
    }
  })

  test('gives Millrace more time to drain than it takes, before it is killed', () => {
    const seconds = Number(/^(\d+)s$/.exec(compose.services.millrace?.stop_grace_period ?? '')?.[1])
    expect(seconds * 1_000).toBeGreaterThan(defaultLimits.closeMsMax)
  })

  test('mounts files that are there and volumes that have a name', () => {
    for (const service of Object.values(compose.services))
      for (const [from = ''] of (service.volumes ?? []).map((each) => each.split(':')))
        if (from.startsWith('./deploy')) expect(existsSync(join(root, from)), from).toBe(true)
        else if (!from.startsWith('.')) expect(Object.keys(compose.volumes)).toContain(from)
  })
})

test('the image runs as a user who is not root, and looks whether it lives', () => {
  const file = text('Dockerfile')
  expect(file).toMatch(/^USER node$/m)
  expect(file).toContain('/livez')
})

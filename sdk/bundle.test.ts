import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'rolldown'
import { expect, it } from 'vitest'

const gzippedBytesMax = 12 * 1024

it('the SDK for a browser is small and needs nothing that a browser does not have', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sdk-bundle-'))
  try {
    await build({
      input: fileURLToPath(new URL('./index.ts', import.meta.url)),
      platform: 'browser',
      logLevel: 'silent',
      output: { file: join(folder, 'sdk.js'), format: 'esm', minify: true },
    })
    const code = await readFile(join(folder, 'sdk.js'))
    expect(gzipSync(code).byteLength).toBeLessThanOrEqual(gzippedBytesMax)
    expect(code.toString()).not.toMatch(/\bimport\b|\brequire\(|[`'"]node:|\bprocess\.|\bBuffer\b/)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

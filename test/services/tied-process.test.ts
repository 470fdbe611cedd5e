import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const module = fileURLToPath(new URL('tied-process.ts', import.meta.url))

test('a tied process and its folder go when their parent is killed', async (context) => {
  if (process.platform === 'win32') return context.skip('skipped: no sh; get it by a POSIX system')
  const folder = await mkdtemp(join(tmpdir(), 'millrace-tied-'))
  const options = JSON.stringify({ cwd: folder, log: join(folder, 'log'), folder })
  const program = `import { spawnTied } from ${JSON.stringify(module)}
    console.log(spawnTied(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], ${options}).pid)
    setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const pid = await new Promise<number>((resolve) =>
    parent.stdout.on('data', (chunk: Buffer) => resolve(Number(chunk.toString()))),
  )
  expect(isAlive(pid)).toBe(true)
  parent.kill('SIGKILL')
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false)
  await expect.poll(() => existsSync(folder), { timeout: 10_000 }).toBe(false)
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

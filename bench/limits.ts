import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { against } from './compare.ts'
import type { BenchRow } from './row.ts'

const program = fileURLToPath(new URL('../bin/millrace.js', import.meta.url))

/** What a whole process needs: a million messages through a slow sink in a small heap, and an idle server. */
export async function benchLimits(): Promise<readonly BenchRow[]> {
  const ready: number[] = []
  const memory: number[] = []
  for (let round = 0; round < 5; round++) {
    const measured = await idleServer()
    ready.push(measured.readyMs)
    memory.push(measured.residentMb)
  }
  const slow = await slowSink()
  return [
    against('millrace serve: ready', ready, 1000, 'ms'),
    against('millrace serve: resident memory when idle', memory, 90, 'MB'),
    against(
      'slow sink, 1 million messages, 128 MB of heap: most in flight',
      [slow.inFlightPeak],
      slow.limit,
      'messages',
    ),
  ]
}

async function idleServer(): Promise<{ readonly readyMs: number; readonly residentMb: number }> {
  const begin = performance.now()
  const child = spawn(process.execPath, [program, 'serve', '--port', '0'], { stdio: ['ignore', 'ignore', 'pipe'] })
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let text = ''
      child.stderr.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8')
        const found = text.match(/listening on (http:\S+)/)?.[1]
        if (found !== undefined) resolve(found)
      })
      child.on('exit', () => reject(new Error(`serve ended: ${text}`)))
    })
    await fetch(`${url}/readyz`)
    const readyMs = performance.now() - begin
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    const status = await (await import('node:fs/promises')).readFile(`/proc/${child.pid}/status`, 'utf8')
    const residentMb = Number(status.match(/VmRSS:\s+(\d+) kB/)?.[1]) / 1024
    return { readyMs, residentMb }
  } finally {
    child.kill('SIGTERM')
    await new Promise((resolve) => child.on('exit', resolve))
  }
}

async function slowSink(): Promise<{ readonly inFlightPeak: number; readonly limit: number }> {
  const child = spawn(
    process.execPath,
    ['--max-old-space-size=128', fileURLToPath(new URL('./slow-sink.ts', import.meta.url))],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8')
  })
  const code = await new Promise<number | null>((resolve) => child.on('exit', resolve))
  if (code !== 0) throw new Error(`the slow sink ended with exit code ${code}`)
  const result: { readonly inFlightPeak: number; readonly limit: number } = JSON.parse(text)
  return result
}

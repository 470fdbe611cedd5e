import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import type { PoolOptions } from '../core/host.ts'
import { flame } from '../workers/index.ts'
import { compared } from './compare.ts'
import type { BenchRow } from './row.ts'
import { keepToOneCore } from './workers/one-core.ts'

const rounds = 7
const slicesPerRound = 20
const callsPerSlice = 50

/**
 * What a warm call costs, one after the other: on a thread beside piscina, in a process beside the bare round trip of
 * node's own IPC, for a small object and for a picture's bytes. Takes about 3 s.
 */
export async function benchWorkers(): Promise<BenchRow[]> {
  const small = { id: 17, name: 'abc' }
  const picture = { id: 17, bytes: new Uint8Array(50_000).fill(7) }
  const undo = keepToOneCore()
  try {
    return [
      await compare('thread: warm call', await ourPool('thread'), await piscinaPool(), small, 1.5),
      await compare('process: warm call', await ourPool('process'), await bareIpc('json'), small, 2),
      await compare('process: warm call with 50 KB', await ourPool('process'), await bareIpc('advanced'), picture, 2),
    ]
  } finally {
    undo()
  }
}

interface Contender {
  readonly name: string
  call(input: unknown): Promise<unknown>
  close(): Promise<void>
}

async function compare(
  figure: string,
  ours: Contender,
  peer: Contender,
  input: unknown,
  goal: number,
): Promise<BenchRow> {
  try {
    await oneRound(ours, peer, input)
    const taken: { readonly ours: number; readonly peer: number }[] = []
    for (let round = 0; round < rounds; round++) taken.push(await oneRound(ours, peer, input))
    return compared({
      figure,
      ours: taken.map((each) => each.ours),
      peer: taken.map((each) => each.peer),
      peerName: peer.name,
      goal,
      unit: 'µs',
    })
  } finally {
    await Promise.all([ours.close(), peer.close()])
  }
}

/** The quickest slice of each, out of many short ones in turns: the machine has other things to do as well. */
async function oneRound(ours: Contender, peer: Contender, input: unknown): Promise<{ ours: number; peer: number }> {
  const best = { ours: Number.POSITIVE_INFINITY, peer: Number.POSITIVE_INFINITY }
  for (let slice = 0; slice < slicesPerRound; slice++) {
    best.ours = Math.min(best.ours, await microsecondsPerCall(ours, input))
    best.peer = Math.min(best.peer, await microsecondsPerCall(peer, input))
  }
  return best
}

async function microsecondsPerCall(contender: Contender, input: unknown): Promise<number> {
  const begin = performance.now()
  for (let i = 0; i < callsPerSlice; i++) await contender.call(input)
  return ((performance.now() - begin) * 1000) / callsPerSlice
}

async function ourPool(backend: PoolOptions['backend']): Promise<Contender> {
  const pool = flame({
    name: 'bench',
    backend,
    min: 1,
    max: 1,
    tasks: [new URL('./workers/echo-task.ts', import.meta.url)],
  })
  return { name: 'millrace', call: (input) => pool.call('echo', input), close: () => pool.close() }
}

async function piscinaPool(): Promise<Contender> {
  const filename = new URL('./workers/echo-piscina.ts', import.meta.url).href
  const pool = new Piscina({ filename, minThreads: 1, maxThreads: 1 })
  return { name: 'piscina', call: (input) => pool.run(input), close: () => pool.destroy() }
}

async function bareIpc(serialization: 'json' | 'advanced'): Promise<Contender> {
  const child: ChildProcess = fork(fileURLToPath(new URL('./workers/echo-ipc.ts', import.meta.url)), { serialization })
  let answer: (message: unknown) => void = () => undefined
  child.on('message', (message) => answer(message))
  return {
    name: serialization === 'json' ? 'child_process IPC' : 'child_process IPC (advanced)',
    call: (input) =>
      new Promise((resolve) => {
        answer = resolve
        child.send(Object(input))
      }),
    close: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve())
        child.disconnect()
      }),
  }
}

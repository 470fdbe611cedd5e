import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { ClientRequest } from 'node:http'
import { request } from 'node:http'
import { giveBack } from '../core/flow/give-back.ts'
import { startDemo } from '../demos/thumbnails/server.ts'
import type { ThumbnailRun } from './thumbnail-run.ts'

/** A demo that is measured, and how to end it. */
export interface MeasuredDemo {
  /** Sends the file as `curl -T` does; times count from the moment when its last byte was handed to the server. */
  readonly run: (path: string) => Promise<ThumbnailRun>
  close(): Promise<void>
}

/** Starts the thumbnails demo for the benchmark: its server, its workflow and its pool of worker processes. */
export async function startMeasuredDemo(): Promise<MeasuredDemo> {
  const demo = await startDemo({ port: 0 })
  return { run: (path) => send(`${demo.url}/thumbnails`, path), close: () => demo.close() }
}

const limitMs = 60_000

async function send(url: string, path: string): Promise<ThumbnailRun> {
  const { size } = await stat(path)
  return new Promise((resolve, reject) => {
    let sentAt = 0
    let firstMs = 0
    let lines = 0
    const put = request(url, {
      method: 'PUT',
      headers: { 'content-length': size },
      signal: AbortSignal.timeout(limitMs),
    })
    put.once('error', reject)
    put.once('finish', () => {
      sentAt = performance.now()
    })
    put.once('response', (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`the demo answered ${answer.statusCode}`))
      answer.once('error', reject)
      answer.on('data', (piece: Buffer) => {
        for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, at + 1))
          if (++lines === 1) firstMs = performance.now() - sentAt
      })
      // All lines but the last are thumbnails.
      answer.once('end', () => resolve({ firstMs, totalMs: performance.now() - sentAt, count: lines - 1 }))
    })
    void sendFile(path, put).catch(reject)
  })
}

/** Piece by piece, with the memory of each given back: the client shares its process with what is measured. */
async function sendFile(path: string, put: ClientRequest): Promise<void> {
  for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    await new Promise<void>((resolve, reject) => {
      put.write(piece, (error) => (error ? reject(error) : resolve()))
    })
    giveBack(piece)
  }
  put.end()
}

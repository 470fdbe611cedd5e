import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import type { Room } from './room.ts'
import { bytesAt } from './room.ts'

/** The samples of one track of an MP4 or MOV file, by the file's own tables. */
export interface Mp4Samples {
  /**
   * The bytes of a sample, counted from 0, in the room; null where the tables say that it is not `length` bytes long or
   * where the file ends before it.
   */
  read(sample: number, length: number, room: Room | undefined): Promise<Uint8Array | null>
  close(): Promise<void>
}

/**
 * Reads the sample tables of an MP4 file (ISO/IEC 14496-12, 8.7), so that keyframes are read from the file straight into
 * a room of the reader's: a general demuxer makes new buffers for each, of twice its size.
 * Answers null where there are no such tables (a fragmented or damaged file), or where the samples are encrypted.
 */
export async function openSamples(path: string, track: number): Promise<Mp4Samples | null> {
  const file = await open(path)
  const tables = await readTables(file, track).catch(() => null)
  if (tables === null) {
    await file.close()
    return null
  }
  return {
    read: async (sample, length, room) => {
      const at = placeOf(tables, sample, length)
      const bytes = at === null ? null : await bytesAt(file, at, length, room).catch(() => null)
      return bytes === null || bytes.length < length ? null : bytes
    },
    close: () => file.close(),
  }
}

interface Tables {
  readonly runs: readonly Run[]
  /** Content of the box `stsz`: how long each sample is. */
  readonly sizes: Buffer
  /** Content of `stco` or `co64`: where each chunk begins, in 4 or 8 bytes. */
  readonly chunks: Buffer
  readonly offsetBytes: 4 | 8
}

/** Chunks in a row that hold equally many samples. */
interface Run {
  readonly chunk: number
  readonly sample: number
  readonly perChunk: number
}

/** Of a day's film with sound; what is larger is left to the general demuxer. */
const moovBytesMax = 64 << 20
/** That may stand before it. */
const boxesMax = 10_000

async function readTables(file: FileHandle, track: number): Promise<Tables | null> {
  const moov = await findMoov(file)
  // With fragments (`mvex`) the numbers of samples go on outside of these tables.
  if (moov === null || inside(moov, ['mvex']) !== null) return null
  for (const trak of boxes(moov)) {
    if (trak.name !== 'trak' || trackId(trak.content) !== track) continue
    const stbl = inside(trak.content, ['mdia', 'minf', 'stbl'])
    const [stsd, stsc, stsz] = ['stsd', 'stsc', 'stsz'].map((name) => stbl && inside(stbl, [name]))
    const chunks = stbl && (inside(stbl, ['stco']) ?? inside(stbl, ['co64']))
    if (!stbl || !stsd || !stsc || !stsz || !chunks || stsd.toString('latin1', 12, 16) === 'encv') return null
    if (stsz.length < 12) return null
    const offsetBytes = inside(stbl, ['stco']) === null ? 8 : 4
    return { runs: readRuns(stsc), sizes: stsz, chunks, offsetBytes }
  }
  return null
}

async function findMoov(file: FileHandle): Promise<Buffer | null> {
  let at = 0
  for (let count = 0; count < boxesMax; count++) {
    const head = await bytesAt(file, at, 16)
    const box = header(head, 0)
    if (box === null || box.bytes < box.headBytes) return null
    if (box.name === 'moov') {
      if (box.bytes > moovBytesMax) return null
      const content = await bytesAt(file, at + box.headBytes, box.bytes - box.headBytes)
      return content.length < box.bytes - box.headBytes ? null : content
    }
    at += box.bytes
  }
  return null
}

/** Each entry says from which chunk on (counted from 1) so many samples lie in one. */
function readRuns(stsc: Buffer): Run[] {
  const runs: Run[] = []
  let sample = 0
  for (let at = 8; at + 12 <= stsc.length; at += 12) {
    const chunk = stsc.readUInt32BE(at) - 1
    const last = runs.at(-1)
    if (last !== undefined) sample += (chunk - last.chunk) * last.perChunk
    runs.push({ chunk, sample, perChunk: stsc.readUInt32BE(at + 4) })
  }
  return runs
}

function placeOf({ runs, sizes, chunks, offsetBytes }: Tables, sample: number, length: number): number | null {
  if (sizeOf(sizes, sample) !== length) return null
  let low = 0
  for (let high = runs.length; high - low > 1; ) {
    const middle = (low + high) >> 1
    if ((runs[middle]?.sample ?? 0) <= sample) low = middle
    else high = middle
  }
  const run = runs[low]
  if (run === undefined || run.perChunk === 0) return null
  const chunksOn = Math.floor((sample - run.sample) / run.perChunk)
  const offsetAt = 8 + (run.chunk + chunksOn) * offsetBytes
  if (offsetAt < 8 || offsetAt + offsetBytes > chunks.length) return null
  let at = offsetBytes === 4 ? chunks.readUInt32BE(offsetAt) : Number(chunks.readBigUInt64BE(offsetAt))
  for (let before = run.sample + chunksOn * run.perChunk; before < sample; before++) at += sizeOf(sizes, before) ?? 0
  return at
}

/** Either all samples are equally long, or a table says how long each is. */
function sizeOf(stsz: Buffer, sample: number): number | null {
  const same = stsz.readUInt32BE(4)
  const at = 12 + sample * 4
  if (same !== 0) return same
  return at + 4 > stsz.length ? null : stsz.readUInt32BE(at)
}

interface Header {
  readonly name: string
  readonly headBytes: number
  /** With its header; endless for one that goes to the end of the file. */
  readonly bytes: number
}

function header(bytes: Buffer, at: number): Header | null {
  if (at + 8 > bytes.length) return null
  const size = bytes.readUInt32BE(at)
  const name = bytes.toString('latin1', at + 4, at + 8)
  if (size === 0) return { name, headBytes: 8, bytes: Number.POSITIVE_INFINITY }
  if (size !== 1) return { name, headBytes: 8, bytes: size }
  return at + 16 > bytes.length ? null : { name, headBytes: 16, bytes: Number(bytes.readBigUInt64BE(at + 8)) }
}

function* boxes(bytes: Buffer): Generator<{ readonly name: string; readonly content: Buffer }> {
  for (let at = 0; ; ) {
    const box = header(bytes, at)
    if (box === null || box.bytes < box.headBytes) return
    yield { name: box.name, content: bytes.subarray(at + box.headBytes, at + box.bytes) }
    at += box.bytes
  }
}

/** The content of the first box of that name, of the first one of the next name in it, and so on. */
function inside(bytes: Buffer, [name, ...rest]: readonly string[]): Buffer | null {
  if (name === undefined) return bytes
  for (const box of boxes(bytes)) if (box.name === name) return inside(box.content, rest)
  return null
}

function trackId(trak: Buffer): number | null {
  const tkhd = inside(trak, ['tkhd'])
  // Before it: version and flags, and two times, which are twice as wide in version 1.
  const at = tkhd?.[0] === 1 ? 20 : 12
  return tkhd === null || tkhd.length < at + 4 ? null : tkhd.readUInt32BE(at)
}

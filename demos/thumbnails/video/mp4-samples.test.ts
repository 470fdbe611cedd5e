import { readFile } from 'node:fs/promises'
import { EncodedPacketSink, FilePathSource, Input, MP4, QTFF } from 'mediabunny'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Clips } from './clips.fixture.ts'
import { clipSeconds, convert, makeClips } from './clips.fixture.ts'
import { inProcess, resolveDecoder } from './decoder.ts'
import { openSamples } from './mp4-samples.ts'
import { emptyRoom } from './room.ts'

let clips: Clips
beforeAll(async () => {
  clips = await makeClips()
})
afterAll(() => clips.remove())

it.each(['end', 'faststart'] as const)('finds what the general demuxer finds in %s', async (name) => {
  expect(await compare(clips.paths[name])).toBe(clipSeconds * 2)
})

it('finds it between sound, in MOV, and behind 64-bit offsets', async (context) => {
  const ffmpeg = await resolveDecoder({ ...process.env, MILLRACE_DECODER: 'ffmpeg' }).catch(() => inProcess)
  if (ffmpeg.kind !== 'ffmpeg') return context.skip('skipped: no ffmpeg; get it by `apt-get install ffmpeg`')
  const sound = ['-f', 'lavfi', '-i', 'sine=d=20', '-c:v', 'copy', '-c:a', 'aac']
  for (const name of ['sound.mp4', 'sound.mov']) {
    const path = await convert(ffmpeg.executable, clips.paths.end, clips.path(name), sound)
    expect(await compare(path)).toBe(clipSeconds * 2)
    expect(await compare(await withWideOffsets(path))).toBe(clipSeconds * 2)
  }
})

it('leaves what has no tables to others, and gives nothing where tables and length do not agree', async () => {
  for (const path of [clips.paths.fragmented, clips.paths.mkv, await clips.cut(clips.paths.end, 0.6)])
    expect(await openSamples(path, 1)).toBeNull()
  expect(await openSamples(clips.paths.end, 7)).toBeNull()
  const samples = await openSamples(clips.paths.end, 1)
  expect(await samples?.read(0, 1, undefined)).toBeNull()
  expect(await samples?.read(100_000, 1, undefined)).toBeNull()
  await samples?.close()
})

it('gives nothing for a sample that was cut off', async () => {
  const cut = await clips.cut(clips.paths.faststart, 0.5)
  const input = new Input({ formats: [MP4], source: new FilePathSource(clips.paths.faststart) })
  const track = await input.getPrimaryVideoTrack()
  const last = track === null ? null : await new EncodedPacketSink(track).getKeyPacket(clipSeconds)
  input.dispose()
  const samples = await openSamples(cut, track?.id ?? 0)
  expect(await samples?.read(last?.sequenceNumber ?? 0, last?.byteLength ?? 0, emptyRoom())).toBeNull()
  await samples?.close()
})

/** Reads each sample both ways, ours into one room; answers how many were the same. */
async function compare(path: string): Promise<number> {
  const input = new Input({ formats: [MP4, QTFF], source: new FilePathSource(path) })
  const track = await input.getPrimaryVideoTrack()
  if (track === null) throw new Error('the clip has no pictures')
  const samples = await openSamples(path, track.id)
  const room = emptyRoom()
  let same = 0
  for await (const packet of new EncodedPacketSink(track).packets()) {
    const ours = await samples?.read(packet.sequenceNumber, packet.byteLength, room)
    if (ours?.buffer === room.bytes.buffer && Buffer.compare(ours, packet.data) === 0) same++
  }
  await samples?.close()
  input.dispose()
  return same
}

/** The same film with its offsets in `co64`: each list grows by its own length, and so do the boxes around it. */
async function withWideOffsets(path: string): Promise<string> {
  const bytes = await readFile(path)
  const moovAt = bytes.lastIndexOf('moov') - 4
  return clips.write(
    `wide-${path.split('/').at(-1)}`,
    Buffer.concat([bytes.subarray(0, moovAt), widened(bytes, moovAt)]),
  )
}

const around = ['moov', 'trak', 'mdia', 'minf', 'stbl']

function widened(bytes: Buffer, at: number): Buffer {
  const size = bytes.readUInt32BE(at)
  const name = bytes.toString('latin1', at + 4, at + 8)
  let content = bytes.subarray(at + 8, at + size)
  if (around.includes(name)) {
    const inner: Buffer[] = []
    for (let child = at + 8; child < at + size; child += bytes.readUInt32BE(child)) inner.push(widened(bytes, child))
    content = Buffer.concat(inner)
  }
  if (name === 'stco') {
    const offsets = Array.from({ length: content.readUInt32BE(4) }, (_, each) => {
      const wide = Buffer.alloc(8)
      wide.writeBigUInt64BE(BigInt(content.readUInt32BE(8 + each * 4)))
      return wide
    })
    content = Buffer.concat([content.subarray(0, 8), ...offsets])
  }
  const head = Buffer.alloc(8)
  head.writeUInt32BE(content.length + 8)
  head.write(name === 'stco' ? 'co64' : name, 4, 'latin1')
  return Buffer.concat([head, content])
}

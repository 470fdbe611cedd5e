import type { EncodedPacket } from 'mediabunny'
import {
  ALL_FORMATS,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  FilePathSource,
  FilePathTarget,
  Input,
  Mp4OutputFormat,
  Output,
} from 'mediabunny'

/** Writes an MP4 that shows the H.264 clip at `from` so many times, without encoding anything anew. */
export async function repeatClip(from: string, to: string, times: number): Promise<string> {
  const input = new Input({ source: new FilePathSource(from), formats: ALL_FORMATS })
  const track = await input.getPrimaryVideoTrack()
  const config = await track?.getDecoderConfig()
  if (track === null || config === null || config === undefined) throw new Error(`${from} holds no video`)
  const packets: EncodedPacket[] = []
  for await (const packet of new EncodedPacketSink(track).packets()) packets.push(packet)
  const seconds = await track.computeDuration()
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: false }), target: new FilePathTarget(to) })
  const source = new EncodedVideoPacketSource('avc')
  output.addVideoTrack(source)
  await output.start()
  for (let round = 0; round < times; round++)
    for (const packet of packets)
      await source.add(packet.clone({ timestamp: packet.timestamp + round * seconds }), { decoderConfig: config })
  await output.finalize()
  input.dispose()
  return to
}

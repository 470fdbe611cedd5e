import { connect } from 'node:net'
import { setTimeout as after } from 'node:timers/promises'

/**
 * How many brokers the one at this port of 127.0.0.1 knows of, itself included; 0 while it does not answer, after a short wait.
 * Speaks Kafka's Metadata request in its version 1, so that the fixture needs no client.
 */
export async function brokersKnownTo(port: number): Promise<number> {
  const answer = await ask(port)
  if (answer === null) await after(50)
  // Size, correlation id, then the array of brokers.
  return answer === null || answer.length < 12 ? 0 : answer.readInt32BE(8)
}

function ask(port: number): Promise<Buffer | null> {
  const request = Buffer.alloc(18)
  request.writeInt32BE(14, 0)
  request.writeInt16BE(3, 4)
  request.writeInt16BE(1, 6)
  request.writeInt32BE(1, 8)
  // No client id, and an empty list of topics.
  request.writeInt16BE(-1, 12)
  request.writeInt32BE(0, 14)
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request))
    socket.setTimeout(2_000, () => socket.destroy())
    let got = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk])
      if (got.length >= 4 && got.length >= 4 + got.readInt32BE(0)) socket.destroy()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(got.length === 0 ? null : got))
  })
}

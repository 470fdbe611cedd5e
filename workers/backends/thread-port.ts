import type { Scale } from '../value.ts'
import { unclonable } from '../value.ts'

/** What a thread of the thread backend is given at its start. */
export interface ThreadStart<Order> {
  readonly order: Order
  /** One number, that counts the frames for the thread: what it sleeps on between two calls. */
  readonly bell: Int32Array<SharedArrayBuffer>
}

/** Posts a frame and answers about how many bytes it takes. Throws a NodeError for a value that cannot cross. */
export function postFrame(port: { postMessage(data: unknown): void }, frame: readonly unknown[], scale: Scale): number {
  const bytes = scale.weigh(frame)
  try {
    port.postMessage(scale.trim(frame))
  } catch (thrown) {
    throw unclonable(thrown)
  }
  return bytes
}

import { fileURLToPath } from 'node:url'
import { startDemo } from '../../demos/thumbnails/server.ts'
import { onInterrupt } from '../interrupt.ts'
import { portOf } from '../options.ts'

/** `millrace demo`: serves the thumbnails demo until it is interrupted. */
export async function demo(options: { readonly port: string }): Promise<void> {
  const interrupted = onInterrupt()
  const running = await startDemo({ port: portOf(options.port) })
  const sample = fileURLToPath(new URL('../../demos/thumbnails/workflow.yaml', import.meta.url))
  console.log(`
  Millrace thumbnails: drop a video onto the page, or try the sample.

    page      ${running.url}
    shell     curl -N -T video.mp4 ${running.url}/thumbnails
    workflow  ${sample}
    decoder   ${running.decoder}

  Ctrl-C stops.`)
  await interrupted
  await running.close()
}

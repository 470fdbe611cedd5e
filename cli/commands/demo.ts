import { fileURLToPath } from 'node:url'
import { startDemo } from '../../demos/thumbnails/server.ts'
import { releaseYoungGeneration } from '../boot-memory.ts'
import { aborted, onInterrupt } from '../interrupt.ts'
import { portOf } from '../options.ts'

/** `millrace demo`: serves the thumbnails demo until it is interrupted. */
export async function demo(options: { readonly port: string }): Promise<void> {
  const interrupt = onInterrupt()
  const running = await startDemo({ port: portOf(options.port) })
  const sample = fileURLToPath(new URL('../../demos/thumbnails/workflow.yaml', import.meta.url))
  releaseYoungGeneration()
  console.log(`
  Millrace thumbnails: drop a video onto the page, or try the sample.

    page      ${running.url}
    shell     curl -N -T video.mp4 ${running.url}/thumbnails
    workflow  ${sample}
    decoder   ${running.decoder}

  Ctrl-C stops.`)
  await aborted(interrupt)
  await running.close()
}

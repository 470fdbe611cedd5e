import { defineTask } from '../../workers/task.ts'
import { resolveDecoder } from './video/decoder.ts'
import { prepareFed } from './video/fed.ts'
import { makeSample } from './video/makeSample.ts'

/** The task `sample`: makes the sample video, or finds the one made before, and answers `{ path }`. */
export const sampleTask = defineTask('sample', async (_input, { signal }) => ({
  path: await makeSample({ env: process.env, signal }),
}))

/** The task `decoder`: answers what decodes on the runners, for people. Asking for it once makes the first video start sooner. */
export const decoderTask = defineTask('decoder', async () => (await resolveDecoder(process.env)).label)

/** The task `prepare`: starts what the next video needs, while it is still being uploaded. */
export const prepareTask = defineTask('prepare', async () => {
  const decoder = await resolveDecoder(process.env)
  if (decoder.kind === 'ffmpeg') prepareFed(decoder)
})

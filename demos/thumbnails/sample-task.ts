import { defineTask } from '../../workers/task.ts'
import { makeSample } from './video/makeSample.ts'

/** The task `sample`: makes the sample video, or finds the one made before, and answers `{ path }`. */
export const sampleTask = defineTask('sample', async (_input, { signal }) => ({
  path: await makeSample({ env: process.env, signal }),
}))

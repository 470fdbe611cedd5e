import { expect, it } from 'vitest'
import { findTask } from '../../../workers/task.ts'
import { thumbnailsTask } from './task.ts'

it('registers under the name that pools call', () => {
  expect(findTask('thumbnails')).toBe(thumbnailsTask)
  expect(thumbnailsTask.skipsOnResume).toBe(true)
})

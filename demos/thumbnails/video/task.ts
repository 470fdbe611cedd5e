import { defineTask } from '../../../workers/task.ts'
import { thumbnails } from './thumbnails.ts'
import type { ThumbnailsInput } from './values.ts'

/**
 * The task `thumbnails` for worker pools: streams what `thumbnails()` yields. A resumed stream begins with the value
 * after those that the reader has, without decoding them again.
 */
export const thumbnailsTask = defineTask<ThumbnailsInput>(
  'thumbnails',
  (input, context) => thumbnails(input, context),
  {
    skipsOnResume: true,
  },
)

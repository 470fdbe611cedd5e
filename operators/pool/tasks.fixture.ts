import { defineTask } from '../../workers/task.ts'

/** What the tasks of the test have done, seen from the same thread. */
export interface TaskLog {
  yielded: number
  ended: number
  aborted: number
}

const holder: typeof globalThis & { taskLog?: TaskLog } = globalThis

/** The log that tasks and test share, also where the module is loaded twice. */
export function taskLog(): TaskLog {
  holder.taskLog ??= { yielded: 0, ended: 0, aborted: 0 }
  return holder.taskLog
}

defineTask<{ readonly count: number }>('pool-test.count', async function* (input, context) {
  try {
    for (let n = 0; n < input.count; n++) {
      taskLog().yielded += 1
      yield n
    }
  } finally {
    taskLog().ended += 1
    if (context.signal.aborted) taskLog().aborted += 1
  }
})

defineTask('pool-test.break', async function* () {
  yield 'first'
  throw new Error('the film is torn')
})

defineTask('pool-test.hang', async function* (_input, context) {
  yield 'first'
  await new Promise((resolve) => context.signal.addEventListener('abort', resolve, { once: true }))
  taskLog().aborted += 1
})

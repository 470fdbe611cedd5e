import { flame } from '../pool.ts'

/** A program with a pool and one task, for tests of what becomes of runners when their parent goes. */
const pool = flame({ name: 'parent', max: 1, tasks: [new URL('./conformance-tasks.ts', import.meta.url)] })
const task = process.argv[2] ?? 'echo'
const pid = () => pool.stats().runners[0]?.pid

if (task === 'block') {
  await pool.call('block', null, { onLog: () => console.log(pid()) })
} else if (task === 'note-when-aborted') {
  await pool.call(task, process.argv[3], { onLog: () => console.log(pid()) })
} else if (task === 'child') {
  for await (const child of pool.stream('child', null, { window: 1 })) {
    console.log(`${pid()}\n${child}`)
    await new Promise((resolve) => setTimeout(resolve, 60_000))
  }
} else {
  await pool.call('echo', 1)
  console.log(pid())
}

import { defineTask } from '../../workers/index.ts'

defineTask('echo', async (input) => input)

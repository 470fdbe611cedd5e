import { describe } from 'vitest'
import { describeBackend } from './conformance.ts'

describe('the thread backend', () => describeBackend({ backend: 'thread', isolated: true }))

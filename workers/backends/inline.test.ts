import { describe } from 'vitest'
import { describeBackend } from './conformance.ts'

describe('the inline backend', () => describeBackend({ backend: 'inline', isolated: false }))

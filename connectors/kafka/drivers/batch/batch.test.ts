import { conformance } from '../../conformance.ts'

conformance('batch')

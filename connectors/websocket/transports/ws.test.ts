import { conformance } from '../conformance.ts'

conformance('ws')

import { conformance } from '../../conformance.ts'

conformance('kafkajs')

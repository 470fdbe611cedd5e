import { conformance } from '../../conformance.ts'
import { expiry } from '../../conformance-transactions.ts'

conformance('platformatic')
expiry('platformatic')

import { conformance } from '../../conformance.ts'
import { strictTransactions } from '../../conformance-transactions.ts'

conformance('platformatic')
strictTransactions('platformatic')

import { faults, transactionFaults } from '../../conformance-faults.ts'

faults('platformatic')
transactionFaults('platformatic')

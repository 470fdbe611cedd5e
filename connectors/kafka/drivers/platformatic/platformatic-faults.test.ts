import { faults, standstill, transactionFaults } from '../../conformance-faults.ts'

faults('platformatic')
transactionFaults('platformatic')
standstill('platformatic')

import { faults, standstill, transactionFaults } from '../../conformance-faults.ts'

faults('batch')
transactionFaults('batch')
standstill('batch')

import { faults, transactionFaults } from '../../conformance-faults.ts'

faults('batch')
transactionFaults('batch')

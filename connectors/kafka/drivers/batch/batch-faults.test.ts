import { faults } from '../../conformance-faults.ts'

faults('batch')

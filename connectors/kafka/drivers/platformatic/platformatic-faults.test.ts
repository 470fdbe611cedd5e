import { faults } from '../../conformance-faults.ts'

faults('platformatic')

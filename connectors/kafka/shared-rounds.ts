import type { NodeContext } from '../../core/define.ts'
import { Rounds } from './rounds.ts'

const roundMsDefault = 200

/** The rounds of a workflow's transaction, which its source drives and its sinks write in. */
export function sharedRounds(context: NodeContext, roundMs?: number): Rounds {
  const rounds = context.shared(
    'kafka.rounds',
    () => new Rounds(context.host.clock, roundMsDefault),
    (each) => each.close(),
  )
  if (roundMs !== undefined) rounds.roundMs = roundMs
  return rounds
}

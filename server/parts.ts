import type { Clock, Log } from '../core/host.ts'
import type { ServerHub } from './hub.ts'
import type { ServerLimits } from './limits.ts'
import type { TopicStore } from './topics.ts'
import type { Workflows } from './workflows.ts'

/** What the parts of the server that answer requests have in common. */
export interface ServerParts {
  readonly limits: ServerLimits
  readonly topics: TopicStore
  readonly workflows: Workflows
  readonly hub: ServerHub
  readonly log: Log
  readonly clock: Clock
}

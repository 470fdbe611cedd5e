import { z } from 'zod'
import { compile } from '../../core/compile/compile.ts'
import { createHost } from '../../server/host.ts'
import { createLog } from '../../server/log.ts'
import { catalogue, producerPlan } from './document.ts'

/** The program of the process that writes trades to Kafka. Its parent tells it what; it ends with its parent. */
const orderShape = z.strictObject({
  trades: z.strictObject({ perSecond: z.number(), seed: z.number() }),
  kafka: z.strictObject({ brokers: z.array(z.string()), topic: z.string(), group: z.string() }),
})

const stopMsMax = 2_000
const log = createLog('warn')

process.once('message', (order) => {
  const { trades, kafka } = orderShape.parse(order)
  const host = createHost({
    log,
    deadLetter: async ([letter]) => log.write('warn', letter?.failure.message ?? '', { node: letter?.failure.node }),
  })
  const execution = compile(producerPlan(trades, kafka), catalogue, host).start('trades')
  process.once('disconnect', () => void execution.stop(stopMsMax).then(() => process.exit()))
  void execution.done.then(({ state, failure }) => {
    if (state === 'failed') log.write('error', failure?.message ?? 'the producer failed')
    process.exit(state === 'failed' ? 1 : 0)
  })
})

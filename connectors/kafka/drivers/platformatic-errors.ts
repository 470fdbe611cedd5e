import { AuthenticationError, NetworkError, ResponseError, TimeoutError } from '@platformatic/kafka'
import { NodeError } from '../../../core/flow/failure.ts'
import type { ConnectionOptions } from '../driver.ts'
import { brokerError, timedOut, unreachable } from '../kafka-errors.ts'

/** What @platformatic/kafka threw, as an error of ours. `doing` says what was asked of whom. */
export function nodeErrorOf(thrown: unknown, doing: string, options: ConnectionOptions): NodeError {
  if (thrown instanceof NodeError) return thrown
  if (!(thrown instanceof Error)) return new NodeError('kafka.refused', `${doing}: ${String(thrown)}`)
  if (isAuthentication(thrown)) return brokerError('SASL_AUTHENTICATION_FAILED', doing, thrown)
  const name = protocolName(thrown)
  if (name !== null) return brokerError(name, doing, thrown)
  if (find(thrown, (each) => each instanceof NetworkError)) return unreachable(doing, options.brokers, deepest(thrown))
  if (find(thrown, (each) => each instanceof TimeoutError)) return timedOut(doing, options.requestMsMax, thrown)
  return new NodeError('kafka.refused', `${doing}: ${thrown.message.slice(0, 500)}`, { cause: thrown })
}

/** The protocol's name of an error, where a broker gave one. */
export function protocolName(thrown: unknown): string | null {
  if (!(thrown instanceof Error)) return null
  const found = find(thrown, (each) => 'apiId' in each && typeof each.apiId === 'string')
  return found !== null && 'apiId' in found ? String(found.apiId) : null
}

/** The whole answer of a broker in which some part failed. */
export function answerOf(thrown: unknown): unknown {
  return thrown instanceof ResponseError ? thrown.response : undefined
}

function isAuthentication(thrown: Error): boolean {
  return find(thrown, (each) => each instanceof AuthenticationError) !== null
}

/** The first of an error, its causes and those that it is an aggregate of. */
function find(thrown: Error, wanted: (error: Error) => boolean): Error | null {
  const open: unknown[] = [thrown]
  for (let count = 0; open.length > 0 && count < 1_000; count += 1) {
    const error = open.shift()
    if (!(error instanceof Error)) continue
    if (wanted(error)) return error
    open.push(error.cause)
    if (error instanceof AggregateError) open.push(...error.errors)
  }
  return null
}

function deepest(thrown: Error): Error {
  let error = thrown
  while (error.cause instanceof Error) error = error.cause
  return error instanceof AggregateError && error.errors[0] instanceof Error ? deepest(error.errors[0]) : error
}

import type { ClickHouseOptions } from './document.ts'

const limitMs = 10_000

/** Makes the table of candles where it is not there. Throws with the server's words. */
export async function openTable(url: string, table = 'market_candles'): Promise<ClickHouseOptions> {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,100}$/.test(table)) throw new Error(`${table} is no name of a table`)
  const version = await ask(url, 'SELECT version()')
  // What is delivered twice is the same row twice, and merges into one.
  await ask(
    url,
    `CREATE TABLE IF NOT EXISTS ${table} (at DateTime, symbol String, open Float64, high Float64, low Float64, close Float64,
      volume Float64, notional Float64, trades UInt64) ENGINE = ReplacingMergeTree ORDER BY (symbol, at)`,
  )
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return { url, table, tokens: major > 22 || (major === 22 && minor >= 2) }
}

async function ask(url: string, sql: string): Promise<string> {
  try {
    const answer = await fetch(url, { method: 'POST', body: sql, signal: AbortSignal.timeout(limitMs) })
    const text = (await answer.text()).trim()
    if (answer.ok) return text
    throw new Error(text.slice(0, 500))
  } catch (thrown) {
    const said = thrown instanceof Error ? (thrown.cause instanceof Error ? thrown.cause.message : thrown.message) : ''
    throw new Error(
      `ClickHouse at ${new URL(url).origin} does not take candles: ${said}. Start it, or leave --clickhouse out.`,
    )
  }
}

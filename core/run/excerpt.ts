const depthMax = 12
const bytesShownMax = 96

/** A copy of a value for people to look at: JSON throughout, and not much larger than `charsMax`. What is left out says how much it was. */
export function excerpt(value: unknown, charsMax: number): unknown {
  return copy(value, { left: charsMax }, 0)
}

interface Budget {
  left: number
}

function copy(value: unknown, budget: Budget, depth: number): unknown {
  if (typeof value === 'string') return textOf(value, budget)
  budget.left -= 8
  if (typeof value === 'bigint') return textOf(String(value), budget)
  if (typeof value !== 'object' || value === null)
    return typeof value === 'function' || typeof value === 'symbol' ? null : value
  if (value instanceof Uint8Array) return bytesOf(value, budget)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (depth >= depthMax) return '…'
  return Array.isArray(value) ? listOf(value, budget, depth) : fieldsOf(value, budget, depth)
}

function textOf(text: string, budget: Budget): string {
  const shown = Math.max(16, budget.left)
  budget.left -= Math.min(text.length, shown)
  return text.length <= shown ? text : `${text.slice(0, shown)}… (${text.length} characters)`
}

function bytesOf(bytes: Uint8Array, budget: Budget): unknown {
  const shown = bytes.subarray(0, bytesShownMax)
  budget.left -= shown.length * 2
  let hex = ''
  for (const byte of shown) hex += byte.toString(16).padStart(2, '0')
  return { bytes: bytes.length, hex: shown.length < bytes.length ? `${hex}…` : hex }
}

function listOf(list: readonly unknown[], budget: Budget, depth: number): readonly unknown[] {
  const copied: unknown[] = []
  for (const each of list) {
    if (budget.left <= 0) {
      copied.push(`… ${list.length - copied.length} more`)
      break
    }
    copied.push(copy(each, budget, depth + 1))
  }
  return copied
}

function fieldsOf(value: object, budget: Budget, depth: number): unknown {
  const names = Object.keys(value)
  const copied: [string, unknown][] = []
  for (const name of names) {
    if (budget.left <= 0) {
      copied.push(['…', `${names.length - copied.length} more fields`])
      break
    }
    copied.push([textOf(name, budget), copy(Reflect.get(value, name), budget, depth + 1)])
  }
  // It defines its fields, so that one called __proto__ is a field.
  return Object.fromEntries(copied)
}

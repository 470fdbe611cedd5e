/** A node of a random graph, as the naive interpreter and the document builder both read it. */
export type Spec =
  | { readonly kind: 'set'; readonly add: number }
  | { readonly kind: 'merge-set'; readonly field: 'a' | 'b'; readonly add: number }
  | { readonly kind: 'filter'; readonly modulus: number }
  | { readonly kind: 'filter-error'; readonly modulus: number }
  | { readonly kind: 'switch'; readonly modulus: number; readonly all: boolean }
  | { readonly kind: 'split'; readonly count: number }
  | {
      readonly kind: 'async'
      readonly modulus: number
      readonly failures: number
      readonly retries: number
      readonly order: 'input' | 'none' | 'key'
    }
  | { readonly kind: 'expand'; readonly count: number; readonly modulus: number }
  | { readonly kind: 'loop'; readonly below: number; readonly step: number }
  | { readonly kind: 'stop' }

export interface Value {
  readonly n: number
  readonly a?: number
  readonly b?: number
}

/** What leaves a node for one value: pairs of port and value. Written without the engine, message by message, on purpose. */
export function naive(spec: Spec, value: Value, onError: string): readonly (readonly [string, unknown])[] {
  const failed: readonly (readonly [string, unknown])[] = onError === 'drop' ? [] : [['error', { value }]]
  switch (spec.kind) {
    case 'set':
      return [['out', { n: value.n + spec.add }]]
    case 'merge-set':
      return [['out', { ...value, [spec.field]: value.n * spec.add }]]
    case 'filter':
      return value.n % spec.modulus === 0 ? [['out', value]] : []
    case 'filter-error':
      // Reads a property of nothing where the test does not hold.
      return value.n % spec.modulus === 0 ? failed : [['out', value]]
    case 'switch': {
      const cases = [...(value.n % spec.modulus === 0 ? ['x'] : []), ...(value.n % 2 === 0 ? ['y'] : [])]
      if (cases.length === 0) return [['otherwise', value]]
      return (spec.all ? cases : cases.slice(0, 1)).map((port) => [port, value] as const)
    }
    case 'split':
      return Array.from({ length: spec.count }, (_, index) => ['out', { n: value.n * 3 + index }] as const)
    case 'async':
      if (value.n % spec.modulus !== 0 || spec.failures <= spec.retries) return [['out', { ...value, n: value.n + 1 }]]
      return failed
    case 'expand': {
      const count = value.n % spec.modulus === 0 ? Math.floor(spec.count / 2) : spec.count
      const given = Array.from({ length: count }, (_, index) => ['out', { n: value.n + index * 7 }] as const)
      return value.n % spec.modulus === 0 ? [...given, ...failed] : given
    }
    case 'loop': {
      let n = value.n
      while (n < spec.below) n += spec.step
      return [['done', { ...value, n }]]
    }
    case 'stop':
      return failed
  }
}

/** The value that a node gets when an error value is sent on to it: errors carry the number of what failed. */
export function asValue(value: unknown): Value {
  if (typeof value === 'object' && value !== null && 'n' in value && typeof value.n === 'number') return value as Value
  return { n: Number.NaN }
}

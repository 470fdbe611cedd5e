import { NodeError } from '../../core/flow/failure.ts'

/**
 * The open servers (or clients) of one workflow by the id of their node: how nodes that send find those that listen. It belongs to the
 * workflow's pipelines and to nobody else.
 */
export class Participants<T> {
  readonly #kind: string
  readonly #field: string
  readonly #all = new Map<string, T>()

  constructor(kind: string, field: string) {
    this.#kind = kind
    this.#field = field
  }

  /** The answer takes it away again. */
  add(node: string, participant: T): () => void {
    this.#all.set(node, participant)
    return () => {
      // A new version may have put its own in the place.
      if (this.#all.get(node) === participant) this.#all.delete(node)
    }
  }

  /** The one of a node; without a name, the only one there is. Throws a NodeError that says what to write. */
  find(node: string | undefined, asker: string): T {
    const [only, ...more] = node === undefined ? this.#all.values() : [this.#all.get(node)]
    if (only !== undefined && more.length === 0) return only
    const names = [...this.#all.keys()].join(', ')
    if (this.#all.size === 0)
      throw new NodeError('websocket.not-open', `${asker}: no ${this.#kind} of this workflow is open`, {
        retriable: true,
      })
    if (node === undefined)
      throw new NodeError(
        'websocket.which-one',
        `${asker}: there are several (${names}); name one as \`${this.#field}\``,
      )
    throw new NodeError(
      'websocket.unknown',
      `${asker}: there is no ${this.#kind} ${JSON.stringify(node)}; there is ${names}`,
    )
  }
}

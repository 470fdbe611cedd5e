/** Wakes one waiter; rung while nobody waits, it wakes the next one at once. */
export class Bell {
  #rung = false
  #wake: (() => void) | null = null

  readonly ring = (): void => {
    if (this.#wake === null) this.#rung = true
    else this.#wake()
  }

  wait(ms: number): Promise<'rung' | 'late'> {
    if (this.#rung) {
      this.#rung = false
      return Promise.resolve('rung')
    }
    return new Promise((resolve) => {
      const done = (how: 'rung' | 'late'): void => {
        clearTimeout(timer)
        this.#wake = null
        resolve(how)
      }
      const timer = setTimeout(() => done('late'), ms)
      timer.unref()
      this.#wake = () => done('rung')
    })
  }
}

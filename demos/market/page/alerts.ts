import { element } from '../../design/element.ts'
import { icon } from '../../design/icons.ts'
import { clockText, percentText, priceText } from './numbers.ts'
import { listings } from './symbols.ts'
import type { Alert } from './values.ts'

const shownMax = 40

/** The newest alerts, newest first. */
export class AlertList {
  readonly #host: HTMLElement
  readonly #select: (symbol: string) => void
  #waiting: Alert[] = []

  constructor(host: HTMLElement, select: (symbol: string) => void) {
    this.#host = host
    this.#select = select
    host.append(
      element('li', { class: 'alerts-empty' }, 'Nothing unusual yet. Jumps and bursts of volume appear here.'),
    )
  }

  take(alert: Alert): void {
    this.#waiting.push(alert)
    if (this.#waiting.length > shownMax) this.#waiting.shift()
  }

  draw(): void {
    if (this.#waiting.length === 0) return
    this.#host.querySelector('.alerts-empty')?.remove()
    for (const alert of this.#waiting.splice(0)) this.#host.prepend(this.#item(alert))
    while (this.#host.children.length > shownMax) this.#host.lastElementChild?.remove()
  }

  #item(alert: Alert): HTMLElement {
    const { kind, symbol, amount, price, at } = alert
    const name = listings.find((each) => each.symbol === symbol)?.name ?? symbol
    const way = kind === 'spike' ? 'spike' : amount > 0 ? 'up' : 'down'
    const says = kind === 'spike' ? `${amount.toFixed(1)}× usual turnover` : `${percentText(amount)} in a second`
    const choose = element(
      'button',
      { class: 'alert', type: 'button', 'data-way': way, title: `Show ${name}` },
      element('span', { class: 'alert-mark' }, icon(way === 'spike' ? 'bars' : way)),
      element('b', {}, symbol),
      element('time', { datetime: new Date(at).toISOString() }, clockText(at)),
      element('span', { class: 'alert-says' }, says),
      element('span', { class: 'alert-price' }, priceText(price)),
    )
    choose.addEventListener('click', () => this.#select(symbol))
    return element('li', {}, choose)
  }
}

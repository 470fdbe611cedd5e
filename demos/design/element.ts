type Child = Node | string | null

/** Makes an HTML element: `element('p', { class: 'note', 'aria-live': 'polite' }, 'text', child)`. Text is never markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name)
  return fill(made, attributes, children)
}

/** Makes an SVG element. */
export function drawing<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string | number>> = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name)
  return fill(made, attributes, children)
}

/** The element of the page with this id, checked to be of the class that is asked for. */
export function byId<E extends Element>(id: string, type: new () => E): E {
  const found = document.getElementById(id)
  if (found instanceof type) return found
  throw new Error(`The page has no ${type.name} with the id "${id}".`)
}

/** Sets an element's text where it differs, so that unchanged text is not announced or laid out again. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text
}

function fill<E extends Element>(
  made: E,
  attributes: Readonly<Record<string, string | number>>,
  children: readonly Child[],
): E {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value))
  for (const child of children) if (child !== null) made.append(child)
  return made
}

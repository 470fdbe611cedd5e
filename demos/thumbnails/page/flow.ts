import { drawing, setText } from '../../design/element.ts'
import { count, rate } from '../../design/quantities.ts'
import type { Beat, Graph, GraphEdge, GraphNode, NodeCounts } from './graph.ts'
import { wireRate } from './graph.ts'
import { layOut } from './layout.ts'

interface Wire {
  readonly edge: GraphEdge
  readonly stream: SVGPathElement
  readonly current: Animation | null
}

interface Box {
  readonly group: SVGGElement
  readonly rate: SVGTextElement
  readonly title: SVGTitleElement
}

/** Rates are those of so long: short enough to be live, long enough to be read. */
const windowMs = 2000

/** The workflow as a drawing whose wires flow by their rate. */
export class FlowDrawing {
  readonly #host: HTMLElement
  readonly #graph: Graph
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)')
  #shape: Shape | null = null
  readonly #beats: Beat[] = []
  #wires: Wire[] = []
  #boxes = new Map<string, Box>()

  constructor(host: HTMLElement, graph: Graph) {
    this.#host = host
    this.#graph = graph
    this.#calm.addEventListener('change', () => this.#draw())
    new ResizeObserver(() => {
      if (this.#shape !== this.#fitting()) this.#draw()
    }).observe(host)
    this.#draw()
  }

  take(beat: Beat): void {
    const last = this.#beats.at(-1)
    // Counters that went back belong to a server that was started anew.
    if (last !== undefined && (beat.at < last.at || total(beat) < total(last))) this.#beats.length = 0
    this.#beats.push(beat)
    while (this.#beats.length > 2 && beat.at - (this.#beats[1]?.at ?? 0) >= windowMs) this.#beats.shift()
    this.#show()
  }

  /** The server is out of reach: what flows now is not known. */
  rest(): void {
    this.#beats.length = 0
    for (const box of this.#boxes.values()) {
      setText(box.rate, rate(null))
      box.group.classList.remove('busy', 'failing')
    }
    for (const wire of this.#wires) this.#flow(wire, 0)
  }

  #show(): void {
    const newest = this.#beats.at(-1)
    if (newest === undefined) return
    const rates = ratesBetween(this.#beats[0] ?? newest, newest)
    for (const [id, box] of this.#boxes) {
      const counts = newest.nodes.get(id)
      const perSecond = rates.get(id)
      const busy = Math.max(perSecond?.in ?? 0, perSecond?.out ?? 0)
      setText(box.rate, rate(busy))
      const passed = Math.max(counts?.in ?? 0, counts?.out ?? 0)
      setText(box.title, `${count(passed)} messages, ${count(counts?.errors ?? 0)} errors`)
      box.group.classList.toggle('busy', busy > 0)
      box.group.classList.toggle('failing', (perSecond?.errors ?? 0) > 0)
    }
    for (const wire of this.#wires) this.#flow(wire, wireRate(this.#graph, wire.edge, rates))
  }

  #flow(wire: Wire, perSecond: number): void {
    // A thousand times the rate is about four times the width and the speed: rates differ by orders of magnitude.
    const force = perSecond <= 0 ? 0 : 1 + Math.log10(1 + perSecond)
    wire.stream.style.setProperty('stroke-width', `${Math.min(5, 1 + force)}px`)
    wire.stream.classList.toggle('flowing', force > 0)
    if (wire.current === null) return
    if (force === 0) wire.current.pause()
    else {
      wire.current.updatePlaybackRate(force)
      if (wire.current.playState !== 'running') wire.current.play()
    }
  }

  #draw(): void {
    const shape = this.#fitting()
    this.#shape = shape
    const { nodes, edges } = this.#graph
    const layout = layOut(nodes, edges)
    const [across, along] = shape.down ? [layout.rowCount, layout.columnCount] : [layout.columnCount, layout.rowCount]
    const width = across * shape.cell.width - shape.cell.width + shape.box.width + 8
    const height = along * shape.cell.height - shape.cell.height + shape.box.height + 8
    const at = (column: number, row: number): Point => ({
      x: 4 + (shape.down ? row : column) * shape.cell.width,
      y: 4 + (shape.down ? column : row) * shape.cell.height,
    })
    const svg = drawing('svg', {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: 'img',
      class: shape.down ? 'down' : '',
    })
    svg.append(drawing('title', {}, describe(this.#graph)))
    const places = new Map(nodes.map((node) => [node.id, at(node.column, layout.rows.get(node.id) ?? 0)]))
    this.#wires = edges.flatMap((edge, index) => {
      const from = places.get(edge.from)
      const to = places.get(edge.to)
      if (from === undefined || to === undefined) return []
      const bends = (layout.bends[index] ?? []).map((bend) => at(bend.column, bend.row))
      const d = wirePath(from, bends, to, shape)
      const path = drawing('path', { d, class: edge.fromPort === 'error' ? 'wire error' : 'wire' })
      const stream = drawing('path', { d, class: 'stream' })
      svg.append(path, stream)
      return [{ edge, stream, current: this.#currentOf(stream) }]
    })
    this.#boxes = new Map(
      nodes.map((node) => [node.id, drawBox(svg, node, places.get(node.id) ?? { x: 0, y: 0 }, shape)]),
    )
    this.#host.replaceChildren(svg)
    this.#show()
  }

  #fitting(): Shape {
    return this.#host.clientWidth < 720 ? narrowShape : wideShape
  }

  /** The flow as an animation that can change its speed without a jump; none for who wants no motion. */
  #currentOf(stream: SVGPathElement): Animation | null {
    if (this.#calm.matches) return null
    const steps = { strokeDashoffset: [0, -24] }
    const current = stream.animate(steps, { duration: 1600, iterations: Number.POSITIVE_INFINITY })
    current.pause()
    return current
  }
}

interface Point {
  readonly x: number
  readonly y: number
}

interface Shape {
  /** Columns lie below each other, as a phone has room for. */
  readonly down: boolean
  readonly cell: { readonly width: number; readonly height: number }
  readonly box: { readonly width: number; readonly height: number }
}

const wideShape: Shape = { down: false, cell: { width: 144, height: 62 }, box: { width: 112, height: 50 } }
const narrowShape: Shape = { down: true, cell: { width: 90, height: 80 }, box: { width: 84, height: 50 } }

function drawBox(svg: SVGSVGElement, node: GraphNode, at: Point, { box }: Shape): Box {
  const { width, height } = box
  const shown = drawing('text', { x: width - 10, y: height - 11, class: 'node-rate', 'text-anchor': 'end' }, rate(0))
  const title = drawing('title')
  const group = drawing(
    'g',
    { class: `node node-${node.id}`, transform: `translate(${at.x} ${at.y})` },
    title,
    drawing('rect', { width, height, rx: 8, class: 'node-box' }),
    drawing('rect', { x: 0, y: 12, width: 3, height: height - 24, rx: 1.5, class: 'node-mark' }),
    drawing('text', { x: 11, y: 20, class: 'node-label' }, node.label),
    shown,
  )
  svg.append(group)
  return { group, rate: shown, title }
}

/** From the middle of one side to the middle of the other, straight through the columns between, in soft curves. */
function wirePath(from: Point, bends: readonly Point[], to: Point, { box, down }: Shape): string {
  const start = down
    ? { x: from.x + box.width / 2, y: from.y + box.height }
    : { x: from.x + box.width, y: from.y + box.height / 2 }
  const end = down ? { x: to.x + box.width / 2, y: to.y } : { x: to.x, y: to.y + box.height / 2 }
  const path = [`M${start.x} ${start.y}`]
  let last = start
  const curve = (next: Point): void => {
    const [dx, dy] = down ? [0, (next.y - last.y) / 2] : [(next.x - last.x) / 2, 0]
    path.push(`C${last.x + dx} ${last.y + dy} ${next.x - dx} ${next.y - dy} ${next.x} ${next.y}`)
    last = next
  }
  for (const bend of bends) {
    const enter = down ? { x: bend.x + box.width / 2, y: bend.y } : { x: bend.x, y: bend.y + box.height / 2 }
    const leave = down ? { x: enter.x, y: bend.y + box.height } : { x: bend.x + box.width, y: enter.y }
    curve(enter)
    path.push(`L${leave.x} ${leave.y}`)
    last = leave
  }
  curve(end)
  return path.join('')
}

function ratesBetween(first: Beat, last: Beat): ReadonlyMap<string, NodeCounts> {
  const seconds = (last.at - first.at) / 1000
  return new Map(
    [...last.nodes].map(([id, now]) => {
      const then = first.nodes.get(id)
      const per = (a: number, b: number): number => (seconds <= 0 ? 0 : Math.max(0, a - b) / seconds)
      return [
        id,
        {
          in: per(now.in, then?.in ?? 0),
          out: per(now.out, then?.out ?? 0),
          errors: per(now.errors, then?.errors ?? 0),
        },
      ]
    }),
  )
}

function total(beat: Beat): number {
  return [...beat.nodes.values()].reduce((sum, each) => sum + each.in + each.out, 0)
}

function describe(graph: Graph): string {
  const label = (id: string): string => graph.nodes.find((node) => node.id === id)?.label ?? id
  return `${graph.name}: ${graph.edges.map((edge) => `${label(edge.from)} to ${label(edge.to)}`).join(', ')}`
}

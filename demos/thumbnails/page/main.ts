import { connect } from '../../../sdk/index.ts'
import { byId, element, setText } from '../../design/element.ts'
import { icon } from '../../design/icons.ts'
import { count } from '../../design/quantities.ts'
import { Card } from './card.ts'
import { acceptDrops } from './drop.ts'
import { FlowDrawing } from './flow.ts'
import { readBeat, readGraph } from './graph.ts'
import { VideoRun } from './run.ts'
import type { RunRecord } from './saved.ts'
import { load, save } from './saved.ts'

const client = connect(location.origin)
const cards = byId('cards', HTMLElement)
const shown: { readonly run: VideoRun; readonly card: Card; said: string }[] = []

showStart()
showLink()
showWorkflow().catch((thrown: unknown) => setText(byId('flow', HTMLElement), messageOf(thrown)))
for (const record of [...load()].reverse()) show(record, null)
arrange()
// What only time changes: rates, and that something has become slow.
setInterval(() => drawSoon(), 500)

function showStart(): void {
  const input = byId('file', HTMLInputElement)
  const choose = byId('choose', HTMLButtonElement)
  const sample = byId('sample', HTMLButtonElement)
  choose.prepend(icon('upload'))
  sample.prepend(icon('sparkles'))
  choose.addEventListener('click', () => input.click())
  input.addEventListener('change', () => {
    for (const file of input.files ?? []) begin(file)
    input.value = ''
  })
  sample.addEventListener('click', () => begin(null))
  const overlay = byId('drop', HTMLElement)
  overlay.querySelector('p')?.prepend(icon('film'))
  acceptDrops(overlay, (files) => {
    for (const file of files) begin(file)
  })
  const command = `curl -N -T video.mp4 ${location.origin}/thumbnails`
  setText(byId('shell', HTMLElement), command)
  const copy = byId('copy', HTMLButtonElement)
  copy.append(icon('copy'))
  copy.addEventListener('click', () => {
    navigator.clipboard.writeText(command).then(
      () => {
        copy.replaceChildren(icon('check'))
        say('The command is copied.')
        setTimeout(() => copy.replaceChildren(icon('copy')), 1600)
      },
      () => say('The browser did not let the command be copied; select it instead.'),
    )
  })
}

function showLink(): void {
  const link = byId('link', HTMLElement)
  const draw = (): void => {
    const { state } = client
    link.dataset.state = state
    if (state === 'live') link.replaceChildren(icon('linked'), 'Connected')
    else if (state === 'closed') link.replaceChildren(icon('unplugged'), 'Disconnected: reload the page')
    else link.replaceChildren(icon('unplugged'), state === 'connecting' ? 'Connecting' : 'Reconnecting')
  }
  draw()
  client.onState(draw)
}

async function showWorkflow(): Promise<void> {
  const flow = new FlowDrawing(
    byId('flow', HTMLElement),
    readGraph(await client.api('GET', '/api/workflows/thumbnails')),
  )
  const load = byId('load', HTMLElement)
  client.onState((state) => {
    if (state === 'live') return
    flow.rest()
    setText(load, 'not connected')
  })
  await client.topic('workflows/thumbnails/metrics').listen(
    ({ value }) => {
      const beat = readBeat(value)
      if (beat === null) return
      flow.take(beat)
      const fill = [element('b', {}, count(beat.running)), ' running · ', element('b', {}, count(beat.inFlight))]
      load.replaceChildren(...fill, ` of ${count(beat.inFlightMax)} in flight`)
    },
    { after: null },
  )
}

function begin(file: File | null): void {
  const startedAt = Date.now()
  show(
    {
      key: crypto.randomUUID(),
      name: file?.name ?? 'Sample video',
      source: file === null ? 'sample' : 'file',
      bytes: file?.size ?? null,
      startedAt,
      sentAt: file === null ? startedAt : null,
      workedAt: null,
      firstAt: null,
      lastAt: null,
      seen: 0,
      execution: null,
      log: null,
    },
    file,
  )
  arrange()
}

function show(record: RunRecord, file: File | null): void {
  const run = new VideoRun(client, record, file, () => drawSoon())
  const card = new Card(run, {
    stop: () => void run.stop(),
    again: () => {
      remove(run)
      begin(file)
    },
    remove: () => {
      remove(run)
      byId('choose', HTMLButtonElement).focus()
    },
  })
  cards.prepend(card.root)
  card.draw()
  shown.unshift({ run, card, said: card.root.dataset.state ?? '' })
  void run.go()
}

function remove(run: VideoRun): void {
  const at = shown.findIndex((each) => each.run === run)
  const [gone] = shown.splice(at, 1)
  gone?.card.root.remove()
  run.close()
  arrange()
}

function arrange(): void {
  document.body.classList.toggle('with-cards', shown.length > 0)
  save(shown.map(({ run }) => run.record))
}

let waiting = false

/** Many messages come between two pictures of the screen; they are drawn at once. */
function drawSoon(): void {
  if (waiting) return
  waiting = true
  requestAnimationFrame(() => {
    waiting = false
    for (const each of shown) {
      each.card.draw()
      announce(each)
    }
    save(shown.map(({ run }) => run.record))
  })
}

/** Screen readers are told when a video's state changes, and of no single thumbnail. */
function announce(each: (typeof shown)[number]): void {
  const state = each.card.root.dataset.state ?? ''
  if (each.said === state) return
  each.said = state
  say(`${each.run.record.name}: ${each.card.stateText}. ${each.run.trouble?.message ?? ''}`)
}

function say(text: string): void {
  setText(byId('said', HTMLElement), text)
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

// The page lies at the server's root, where `..` stays at the root: the same path serves the browser and the type checker.
import type { Client } from '../../../sdk/index.ts'
import { MillraceError } from '../../../sdk/index.ts'
import type { DoneValue, ThumbnailValue, VideoValue } from '../video/values.ts'
import type { RunRecord } from './saved.ts'
import { readAccepted, readValue } from './values.ts'

/** `sent`: the server has the video, or draws it; no thumbnail has come yet. */
export type Phase = 'uploading' | 'sent' | 'live' | 'done' | 'stopped' | 'failed'

/** A thumbnail that has come, ready to be shown. */
export interface Thumb {
  readonly index: number
  readonly atMs: number
  readonly url: string
}

export interface Trouble {
  readonly message: string
  /** The same video can be sent again by one press. */
  readonly again: boolean
}

/** Nothing new for so long, while work goes on, is called slow. */
const slowMs = 4000

/**
 * One video on its way: upload, execution, topic. It tells each change by `changed`, and what must outlive the page by
 * `record`. Its owner ends it by `close`.
 */
export class VideoRun {
  phase: Phase
  sentBytes = 0
  video: VideoValue | null = null
  done: DoneValue | null = null
  trouble: Trouble | null = null
  stopping = false
  /** The connection is gone and on its way back. */
  unlinked = false
  missing = 0
  /** In the order in which they came. */
  readonly thumbs: Thumb[] = []
  readonly record: RunRecord
  /** The video itself; null after a reload, and for the sample. */
  readonly file: File | null
  readonly #client: Client
  readonly #changed: () => void
  readonly #indexes = new Set<number>()
  readonly #ended = new AbortController()
  #newsAt = Date.now()

  constructor(client: Client, record: RunRecord, file: File | null, changed: () => void) {
    this.#client = client
    this.record = record
    this.file = file
    this.#changed = changed
    this.phase = record.execution === null ? 'uploading' : 'sent'
    if (record.source === 'sample') this.phase = 'sent'
  }

  get running(): boolean {
    return this.phase === 'uploading' || this.phase === 'sent' || this.phase === 'live'
  }

  get slow(): boolean {
    return this.running && !this.unlinked && Date.now() - this.#newsAt > slowMs
  }

  /** Thumbnails per second: the server's own figure at the end, until then by this page's clock. Null when there is none yet. */
  get perSecond(): number | null {
    if (this.done !== null && this.done.elapsedMs > 0) return (this.done.thumbnails * 1000) / this.done.elapsedMs
    const { workedAt, lastAt } = this.record
    if (workedAt === null) return null
    const sinceMs = (this.running ? Date.now() : (lastAt ?? workedAt)) - workedAt
    return sinceMs > 250 && this.thumbs.length > 0 ? (this.thumbs.length * 1000) / sinceMs : null
  }

  /** Sends the video, or follows the execution that has it already; resolves when all is over, and never rejects. */
  async go(): Promise<void> {
    try {
      if (this.record.execution === null) await this.#send()
      await this.#follow()
    } catch (thrown) {
      this.#fail(thrown)
    }
    this.stopping = false
    this.#changed()
  }

  async stop(): Promise<void> {
    if (!this.running || this.stopping) return
    this.stopping = true
    this.#changed()
    if (this.phase === 'uploading') {
      this.phase = 'stopped'
      this.#ended.abort()
    } else await this.#stopWork()
  }

  /** Cuts the execution and does not drain it: who presses stop does not want to wait for the rest of the video. */
  async #stopWork(): Promise<void> {
    const { execution } = this.record
    // The answer that names it is still to come; then this is called again.
    if (execution === null) return
    await this.#client.executions.stop(execution, { kill: true }).catch((thrown: unknown) => this.#fail(thrown))
    this.stopping = false
    this.#changed()
  }

  close(): void {
    this.#ended.abort()
    for (const thumb of this.thumbs) URL.revokeObjectURL(thumb.url)
  }

  async #send(): Promise<void> {
    const { file, record } = this
    if (record.source === 'file' && file === null)
      throw new MillraceError(
        'upload.interrupted',
        'The page was loaded anew before the upload was complete. Choose the video again.',
      )
    const headers = { prefer: 'respond-async' }
    const signal = this.#ended.signal
    const answers =
      file === null
        ? this.#client.stream('/thumbnails/sample', { method: 'POST', headers, signal })
        : this.#client.upload('/thumbnails', file, { headers, signal, onProgress: (sent) => this.#progress(sent) })
    for await (const answer of answers) record.execution ??= readAccepted(answer)
    record.sentAt ??= Date.now()
    if (record.execution === null)
      throw new MillraceError('answer.broken', 'The server did not say which execution works on the video. Try again.')
    this.phase = 'sent'
    this.#news()
    if (this.stopping) await this.#stopWork()
  }

  #progress(sent: number): void {
    this.sentBytes = sent
    if (sent >= (this.file?.size ?? 0)) {
      this.record.sentAt ??= Date.now()
      this.phase = 'sent'
    }
    this.#news()
  }

  async #follow(): Promise<void> {
    const subscription = this.#client.topic(`thumbnails/${this.record.execution}`).subscribe({
      log: this.record.log,
      signal: this.#ended.signal,
      // Thumbnails are small and all of them are wanted: many may be on their way.
      credits: 64,
      onState: (state) => {
        this.unlinked = state === 'reconnecting'
        if (state === 'live') this.record.log ??= subscription.place?.log ?? null
        this.#news()
      },
      onGap: () => {
        throw new MillraceError(
          'topic.gap',
          'What the server had of this video is gone: it was started anew, or kept it for its 15 minutes. Send it again.',
        )
      },
    })
    for await (const { value } of subscription) this.#take(value)
    if (!this.running) return
    const { outcome } = subscription
    if (outcome?.state === 'stopped') this.phase = 'stopped'
    else if (this.done !== null) this.phase = 'done'
    else if (!this.#ended.signal.aborted)
      this.#fail(
        new MillraceError(
          'execution.lost',
          outcome?.failure?.message ?? 'The work ended before the video did. Send the video again.',
        ),
      )
  }

  #take(given: unknown): void {
    const value = readValue(given)
    if (value === null) return
    if (value.kind === 'video') {
      this.video = value
      this.record.workedAt ??= Date.now()
    } else if (value.kind === 'thumbnail') this.#show(value)
    else if (value.kind === 'missing') this.missing++
    else if (value.kind === 'done') this.done = value
    else this.#fail(new MillraceError(value.code, value.message))
    this.#news()
  }

  #show(value: ThumbnailValue): void {
    // A workflow delivers at least once; a time line shows each picture once.
    if (this.#indexes.has(value.index)) return
    this.#indexes.add(value.index)
    this.record.firstAt ??= Date.now()
    this.phase = 'live'
    const url = URL.createObjectURL(new Blob([new Uint8Array(value.data)], { type: value.mime }))
    this.thumbs.push({ index: value.index, atMs: value.atMs, url })
    // What is read again after a reload came when it first came.
    if (this.thumbs.length <= this.record.seen) return
    this.record.seen = this.thumbs.length
    this.record.lastAt = Date.now()
  }

  #fail(thrown: unknown): void {
    if (!this.running) return
    this.phase = 'failed'
    const code = thrown instanceof MillraceError ? thrown.code : ''
    this.trouble = {
      message: explain(thrown),
      // What the file itself is to blame for would only happen again.
      again: !/^(video|upload)\./.test(code) && (this.file !== null || this.record.source === 'sample'),
    }
  }

  #news(): void {
    this.#newsAt = Date.now()
    this.#changed()
  }
}

function explain(thrown: unknown): string {
  if (!(thrown instanceof MillraceError)) return thrown instanceof Error ? thrown.message : String(thrown)
  if (thrown.code === 'topic.unknown')
    return 'The server no longer has the thumbnails of this video: it keeps them for 15 minutes. Send the video again.'
  if (thrown.code === 'connection.lost')
    return 'The server could not be reached. See that it still runs, then send the video again.'
  return [thrown.message, thrown.remedy].filter((each) => typeof each === 'string' && each !== '').join(' ')
}

import { execFile } from 'node:child_process'
import { access, constants, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { NodeError } from '../../../core/flow/failure.ts'

export type Decoder = FfmpegDecoder | { readonly kind: 'in-process'; readonly label: 'in-process' }

export interface FfmpegDecoder {
  readonly kind: 'ffmpeg'
  readonly executable: string
  readonly version: string
  /** `ffmpeg 5.1.9`: what may be shown; the path may not. */
  readonly label: string
}

export const inProcess: Decoder = { kind: 'in-process', label: 'in-process' }

/** The variables that decide; pass `process.env`. */
export interface DecoderEnv {
  readonly [name: string]: string | undefined
  readonly FFMPEG_PATH?: string | undefined
  readonly MILLRACE_DECODER?: string | undefined
  readonly PATH?: string | undefined
}

/**
 * Says what decodes here: ffmpeg at FFMPEG_PATH, else on PATH, else from the optional package ffmpeg-static, else this
 * process. MILLRACE_DECODER=ffmpeg or in-process forces one. An answer is kept per set of variables, because asking
 * ffmpeg for its version costs about 60 ms; a FFMPEG_PATH that does not work is an error, not a reason to look further.
 * Throws a NodeError `video.decoder-missing`.
 */
export function resolveDecoder(env: DecoderEnv): Promise<Decoder> {
  const key = JSON.stringify([env.MILLRACE_DECODER, env.FFMPEG_PATH, env.PATH])
  let answer = known.get(key)
  if (answer === undefined) {
    if (known.size >= 64) known.clear()
    answer = find(env)
    known.set(key, answer)
    // A failure is not kept: somebody may install ffmpeg meanwhile.
    answer.catch(() => known.delete(key))
  }
  return answer
}

const known = new Map<string, Promise<Decoder>>()

async function find(env: DecoderEnv): Promise<Decoder> {
  const forced = env.MILLRACE_DECODER ?? ''
  if (forced === 'in-process') return inProcess
  if (forced !== '' && forced !== 'ffmpeg') {
    throw new NodeError(
      'video.decoder-missing',
      `MILLRACE_DECODER is "${forced}". Set it to ffmpeg or in-process, or leave it out.`,
    )
  }
  if (env.FFMPEG_PATH !== undefined && env.FFMPEG_PATH !== '') {
    const version = await versionOf(env.FFMPEG_PATH)
    if (version !== null) return ffmpeg(env.FFMPEG_PATH, version)
    throw new NodeError(
      'video.decoder-missing',
      'FFMPEG_PATH is set, but there is no working ffmpeg. Correct it or leave it out.',
    )
  }
  for (const executable of [...onPath(env.PATH ?? ''), ...fromPackage()]) {
    if (!(await isExecutable(executable))) continue
    const version = await versionOf(executable)
    if (version !== null) return ffmpeg(executable, version)
  }
  if (forced === 'ffmpeg') {
    throw new NodeError(
      'video.decoder-missing',
      'MILLRACE_DECODER is ffmpeg, but there is no ffmpeg. Install it, set FFMPEG_PATH, or leave MILLRACE_DECODER out to decode in this process.',
    )
  }
  return inProcess
}

function ffmpeg(executable: string, version: string): Decoder {
  return { kind: 'ffmpeg', executable, version, label: `ffmpeg ${version}` }
}

function onPath(path: string): readonly string[] {
  const name = process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg'
  return path
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
}

/** The package is optional, and its binary is fetched by an install script that may have been switched off. */
function fromPackage(): readonly string[] {
  try {
    const path: unknown = createRequire(import.meta.url)('ffmpeg-static')
    return typeof path === 'string' ? [path] : []
  } catch {
    return []
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}

/** `5.1.9` of `ffmpeg version 5.1.9-0+deb12u1 Copyright …`; null when the file is not a working ffmpeg. */
function versionOf(executable: string): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(executable, ['-version'], { timeout: 10_000, windowsHide: true }, (error, stdout) => {
      const version = /^ffmpeg version n?(\d+(?:\.\d+)*|\S+)/.exec(stdout)?.[1]
      resolve(error === null && version !== undefined ? version : null)
    })
  })
}

/** Options that let each picture keep its own time, in milliseconds. ffmpeg 5.1 renamed the first; 4 has only the old name. */
export function ownTimes(decoder: FfmpegDecoder): readonly string[] {
  const [major = 0, minor = 0] = decoder.version.split('.').map(Number)
  const old = major > 0 && (major < 5 || (major === 5 && minor < 1))
  return [old ? '-vsync' : '-fps_mode', 'passthrough', '-enc_time_base', '1:1000']
}

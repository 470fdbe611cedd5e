import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '../source-files.ts'

const run = promisify(execFile)
const folder = join(root, 'node_modules/.cache/uws')
const systemLibraries = join(folder, 'trixie')

/**
 * A Node 24 that uWebSockets.js loads in. Its binaries for Node ≥ 22 want a newer C library (glibc 2.38) than many systems have, so this
 * Node brings that of Debian 13 along. `node test/services/uws-node.ts` makes it, in half a minute, as root on Debian.
 */
export const uwsNode = { program: join(folder, 'node'), modules: join(folder, 'node_modules') }

/** Why there is none here, for `context.skip`; null where there is one. */
export function noUwsNode(): string | null {
  if (existsSync(uwsNode.program) && existsSync(uwsNode.modules)) return null
  return 'skipped: no Node that loads uWebSockets.js; get it by apt-get install debootstrap patchelf && node test/services/uws-node.ts'
}

async function make(): Promise<void> {
  if (noUwsNode() === null) return
  await mkdir(folder, { recursive: true })
  await run('npm', ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', 'uwebsockets@3.0.6'])
  if (!existsSync(join(systemLibraries, 'usr/lib'))) {
    await rm(systemLibraries, { recursive: true, force: true })
    await run('debootstrap', ['--variant=minbase', 'trixie', systemLibraries], { maxBuffer: 16_000_000 })
  }
  const draft = `${uwsNode.program}.part`
  await copyFile(process.execPath, draft)
  const loader = join(systemLibraries, 'usr/lib64/ld-linux-x86-64.so.2')
  const libraries = join(systemLibraries, 'usr/lib/x86_64-linux-gnu')
  await run('patchelf', ['--set-interpreter', loader, '--force-rpath', '--set-rpath', libraries, draft])
  await rename(draft, uwsNode.program)
}

if (import.meta.main) await make()

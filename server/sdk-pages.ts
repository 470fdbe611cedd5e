import { fileURLToPath } from 'node:url'
import type { PageMount } from './pages.ts'

/** Mounts that let a page `import { connect } from '/sdk/index.ts'`: the SDK's own source and the protocol that it imports. */
export const sdkPages: readonly PageMount[] = [
  { path: '/sdk', directory: fileURLToPath(new URL('../sdk', import.meta.url)) },
  { path: '/core/protocol', directory: fileURLToPath(new URL('../core/protocol', import.meta.url)) },
]

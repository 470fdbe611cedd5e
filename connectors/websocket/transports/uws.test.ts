import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { NodeError } from '../../../core/flow/failure.ts'
import { noUwsNode, uwsNode } from '../../../test/services/uws-node.ts'
import { root } from '../../../test/source-files.ts'
import { conformance } from '../conformance.ts'
import { loadUws } from './uws.ts'

const vitest = join(root, 'node_modules/vitest/vitest.mjs')

function loads(): string | null {
  try {
    loadUws()
    return null
  } catch (thrown) {
    return thrown instanceof NodeError ? `${thrown.code} ${thrown.message}` : String(thrown)
  }
}

const obstacle = loads()

if (obstacle === null) conformance('uws')
else
  describe('uws', () => {
    test('says what is missing where it does not load', () => {
      expect(obstacle).toMatch(
        /^websocket\.no-uws uWebSockets\.js (is not installed|does not load here): .*transport: ws/,
      )
    })

    test('passes the suite of all transports, in a Node where it loads', { timeout: 180_000 }, async (context) => {
      const missing = noUwsNode()
      if (missing !== null) return context.skip(missing)
      const child = spawn(uwsNode.program, [vitest, 'run', 'connectors/websocket/transports/uws.test.ts'], {
        env: { ...process.env, NODE_PATH: uwsNode.modules, VITEST: undefined },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      context.signal.addEventListener('abort', () => child.kill('SIGKILL'))
      let said = ''
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (chunk: Buffer) => {
          said += chunk.toString()
        })
      const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
      expect(code, said).toBe(0)
      expect(said).toMatch(/[1-9]\d passed, 0 failed, 0 skipped/)
      expect(said).not.toMatch(/no Node that loads/)
    })
  })

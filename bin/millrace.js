#!/usr/bin/env node
// Runs on any Node that can parse it: finds a Node ≥ 24 where the one at hand is older.
// The program itself is TypeScript in a clone, and JavaScript in a built package.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath } from 'node:url'

const needed = 24
if (Number(process.versions.node.split('.')[0]) >= needed) {
  module.enableCompileCache?.()
  await import(existsSync(new URL('../cli/main.ts', import.meta.url)) ? '../cli/main.ts' : '../cli/main.js')
} else {
  const found = newerNode()
  if (found === null) {
    console.error(
      `millrace needs Node ${needed} or newer; this is ${process.version}. Run \`npm install\` here, or install Node ${needed}.`,
    )
    process.exitCode = 1
  } else {
    const child = spawn(found, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })
    // A terminal sends Ctrl-C to both by itself; twice would mean "at once" to the program.
    const terminal = process.stdin.isTTY === true || process.stderr.isTTY === true
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
      process.on(signal, () => {
        if (signal !== 'SIGINT' || !terminal) child.kill(signal)
      })
    child.on('exit', (code, signal) => {
      process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
      if (signal !== 'SIGHUP') return
      // With its terminal gone, this Node would abort, as that one would have.
      process.removeAllListeners('SIGHUP')
      process.kill(process.pid, 'SIGHUP')
    })
  }
}

/** The Node that npm installed beside Millrace, for this platform. */
function newerNode() {
  const names = [
    `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`,
    `node-bin-${process.platform}-${process.arch}`,
  ]
  const binary = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node'
  for (const name of names) {
    for (const base of ['../node_modules/', '../../']) {
      const path = fileURLToPath(new URL(`${base}${name}/${binary}`, import.meta.url))
      if (existsSync(path)) return path
    }
  }
  return null
}

import { define } from '../../core/define.ts'
import { openServer } from './open-server.ts'
import { checkServeConfig, serveConfig } from './serve-config.ts'
import { portNames } from './server-source.ts'

/** Clients connect to us. */
export const websocketServeV1 = define({
  name: 'websocket.serve',
  version: 1,
  summary: 'A WebSocket server: gives what connections bring, as they open, speak and close.',
  notes:
    '`open` gives `{ connection, path, params, query, protocol, address, headers }` (a name that the query repeats has a list), `message` what a client has sent, `close` gives `{ code, reason }`, ' +
    'and `error` gives `{ error, value }` for messages that cannot be read. `$key` is the id of the connection, and `$meta` says the same as `open`, without the headers. ' +
    'For each connection order holds across the ports. With `scope: connection` each has an execution of its own, and nodes keep their state per connection; ' +
    'with `scope: server`, which is for high rates, one execution sees all. ' +
    'When the flow is behind, sockets are not read until there is room again. Answer with `websocket.send`.',
  inputs: [],
  outputs: portNames,
  partitioned: true,
  config: serveConfig,
  check: checkServeConfig,
  examples: [
    { title: 'On a port of its own', config: { port: 4700, path: '/rooms/:room' }, input: [], output: null },
    {
      title: 'For pages of one site that show a token as a subprotocol',
      config: {
        path: '/live',
        protocols: ['live.v1'],
        origins: ['https://app.example'],
        token: { values: ['{{ $env.LIVE_TOKEN }}'], from: ['protocol'] },
        scope: 'connection',
      },
      input: [],
      output: null,
    },
  ],
  face: { kind: 'stream-trigger', pausable: true, open: openServer },
})

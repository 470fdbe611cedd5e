import { define } from '../../core/define.ts'
import { checkClient } from './client-config.ts'
import { openClient } from './client-source.ts'
import { connectConfig } from './connect-config.ts'
import { portNames } from './server-source.ts'

/** We connect to a server. */
export const websocketConnectV1 = define({
  name: 'websocket.connect',
  version: 1,
  summary: 'A WebSocket client: gives what a server sends, and connects again whenever the connection ends.',
  notes:
    '`message` gives what the server has sent, `error` gives `{ error, value }` for messages that cannot be read. `open` gives `{ connection, protocol }` each time ' +
    'there is a connection, the first of which is 1, and `close` gives `{ code, reason }`; `$meta` says the same as `open`. What the server has sent in between is lost, so a feed that must be whole ' +
    'is asked for its state at each `open`. To send on the same connection use `websocket.write`.',
  inputs: [],
  outputs: portNames,
  config: connectConfig,
  check: checkClient,
  examples: [
    {
      title: 'Follow a feed',
      config: {
        url: 'wss://feed.example/v1',
        onOpen: [{ op: 'subscribe', channels: ['trades'] }],
        headers: { authorization: 'Bearer {{ $env.FEED_TOKEN }}' },
        idleMsMax: 60_000,
      },
      input: [],
      output: null,
    },
  ],
  face: { kind: 'stream-trigger', pausable: true, open: openClient },
})

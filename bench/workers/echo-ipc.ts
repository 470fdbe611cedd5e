/** The least that two processes can do: what comes goes back, over node's own IPC channel. */
process.on('message', (message) => process.send?.(message))

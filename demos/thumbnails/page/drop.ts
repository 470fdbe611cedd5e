/** Takes files that are dropped anywhere on the page, and shows `overlay` while some are dragged over it. */
export function acceptDrops(overlay: HTMLElement, onFiles: (files: readonly File[]) => void): void {
  const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true
  const hide = (): void => {
    overlay.hidden = true
  }
  addEventListener('dragenter', (event) => {
    if (carriesFiles(event)) overlay.hidden = false
  })
  addEventListener('dragover', (event) => {
    if (!carriesFiles(event)) return
    // Without this the browser would leave the page and play the file.
    event.preventDefault()
    if (event.dataTransfer !== null) event.dataTransfer.dropEffect = 'copy'
  })
  addEventListener('dragleave', (event) => {
    // Children tell of it too; only outside the window is there no element that is entered.
    if (event.relatedTarget === null) hide()
  })
  addEventListener('drop', (event) => {
    hide()
    if (!carriesFiles(event)) return
    event.preventDefault()
    onFiles([...(event.dataTransfer?.files ?? [])])
  })
  addEventListener('keydown', (event) => {
    if (event.key === 'Escape') hide()
  })
}

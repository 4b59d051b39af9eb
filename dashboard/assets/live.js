// Live updates: the server sends the piece of the page that changed. Without this script everything works, and a reload
// shows the newest.
'use strict'

const live = document.querySelector('[data-live]')
const pause = document.getElementById('pause')

if (live && pause && window.EventSource) {
  let source = null
  const stop = () => { if (source) source.close(); source = null }
  const go = () => {
    source = new EventSource(live.dataset.live)
    // What somebody is about to press must not move away under them.
    source.addEventListener('part', event => {
      if (!live.contains(document.activeElement)) live.innerHTML = event.data
    })
  }
  pause.parentElement.hidden = false
  pause.addEventListener('click', () => {
    const pausing = source !== null
    if (pausing) stop()
    else go()
    pause.setAttribute('aria-pressed', String(pausing))
    pause.textContent = pausing ? pause.dataset.go : pause.dataset.pause
  })
  window.addEventListener('pagehide', stop)
  go()
}

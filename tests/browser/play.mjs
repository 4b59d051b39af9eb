// Plays one scenario in Chromium: `node play.mjs SCENARIO`, its input as JSON on standard input. Each check is one line
// of JSON on standard output. Status 0 where it came to its end, whatever the checks found.

import { chromium } from 'playwright-core'
import { Stage } from './stage.mjs'

async function standardInput() {
  let text = ''
  for await (const part of process.stdin) text += part
  return JSON.parse(text)
}

const tell = line => process.stdout.write(JSON.stringify(line) + '\n')

const { chromium: executablePath, input } = await standardInput()
const { default: scenario } = await import(`./scenarios/${process.argv[2]}.mjs`)
const browser = await chromium.launch({
  executablePath,
  headless: true,
  chromiumSandbox: false,
  args: [
    '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'
  ]
})
try {
  await scenario(new Stage(browser, input, tell), input)
} finally {
  await browser.close()
}

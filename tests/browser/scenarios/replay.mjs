// What a server fault broke is replayed: previewed, pressed, followed to its end, and noted; by what the pages say and
// lead to.

import { Newcomer } from '../visit.mjs'

export default async function (stage, { token, reason }) {
  const person = await stage.person()
  const somebody = new Newcomer(stage, person)
  const { page } = somebody
  const rows = () => page.locator('main tbody th a').evaluateAll(links => links.map(link => link.getAttribute('href')))
  await somebody.arrive()
  await somebody.follow('See the dead letters')
  await somebody.follow(`See, select and replay ${reason.replaceAll('_', ' ')}`)
  await somebody.follow('Log in to replay')
  await somebody.logIn(token)
  const broken = await rows()
  stage.check('the dead letters lead to their rows', broken.length > 0, await somebody.text())
  for (const box of await page.getByRole('checkbox').all()) await box.check()
  await somebody.press('Preview the selected')
  await stage.accessible('the preview', page)
  stage.check('it is previewed before it is pressed', (await somebody.text()).includes(`tried again: ${broken.length}`),
    await somebody.text())
  await somebody.press('Replay')
  await stage.accessible('after the press', page)
  // It says so by itself.
  await page.locator('[data-replay=finished]').waitFor({ timeout: 60000 })
  const ended = await page.locator('[data-replay=finished]').first().innerText()
  stage.check('it ends as updated', ended.includes(`${broken.length} / ${broken.length}`) &&
    new RegExp(`Updated\\s+${broken.length}`).test(ended), ended)
  for (const row of broken) {
    await stage.go(person, row)
    const text = await somebody.text()
    stage.check(`${row.split('/').at(-1)} ends as updated`, /^Updated\b/m.test(text), text.slice(0, 300))
  }
  await somebody.follow('Who did what')
  stage.check('it is noted who replayed', /Sari \(unverified\)\s+replayed dead letters/.test(await somebody.text()),
    await somebody.text())
  stage.tell({ rows: broken.length })
  stage.behaved('a replay', person)
}

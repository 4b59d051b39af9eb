// What a server fault broke is replayed from the page: previewed, pressed, followed to its end, and noted.

import { logIn, press, until } from '../visit.mjs'

export default async function (stage, { token, reason }) {
  const person = await stage.person()
  const { page } = person
  await logIn(person, { token, name: 'Sari' })
  await stage.go(person, '/dead-letters')
  await page.locator(`main a[href^="/dead-letters/${reason}"]`).first().click()
  const rows = await page.evaluate(() =>
    [...document.querySelectorAll('main a[href*="/rows/"]')].map(link => link.getAttribute('href')))
  stage.check('the dead letters lead to their rows', rows.length > 0)
  const choice = page.locator('form[action="/dead-letters/preview"]')
  for (const box of await choice.locator('input[type=checkbox]').all()) await box.check()
  await press(person, choice)
  await stage.accessible('the preview', page)
  const replay = page.locator('form[action="/actions/replay"]')
  const previewed = await replay.count()
  stage.check('it is previewed before it is pressed', previewed === 1, await page.locator('main').innerText())
  await press(person, replay.first())
  await stage.accessible('after the press', page)
  for (const row of rows) {
    await stage.go(person, row)
    const text = await until(person, page => page.locator('main').innerText(), text => /\bupdated\b/i.test(text))
    stage.check(`${row.split('/').at(-1)} ends as updated`, /\bupdated\b/i.test(text), text.slice(0, 300))
  }
  await stage.go(person, '/acts')
  const acts = await page.locator('main').innerText()
  stage.check('it is noted who replayed', /replay/i.test(acts) && acts.includes('Sari'), acts.slice(0, 300))
  stage.tell({ rows: rows.length })
  stage.behaved('a replay', person)
}

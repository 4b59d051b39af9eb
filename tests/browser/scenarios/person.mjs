// One person's row: found by the NIK typed in, its history, and its number revealed; by what pages say and lead to.

import { Newcomer } from '../visit.mjs'

export default async function (stage, { token, nik }) {
  const person = await stage.person()
  const somebody = new Newcomer(stage, person)
  const { page } = somebody
  const addresses = []
  page.on('framenavigated', frame => addresses.push(frame.url()))
  person.context.on('request', request => addresses.push(request.url()))
  await somebody.arrive()
  await somebody.follow('Find a person')
  // As it stands on the card.
  await page.getByLabel('NIK').fill(nik.replace(/(.{4})/g, '$1 ').trim())
  await somebody.press('Find')
  await stage.accessible('who was found', page)
  const row = page.locator('main tbody th a').first()
  if (!stage.check('the person is found', await row.count() === 1, await somebody.text())) return
  await somebody.act(row)
  const shown = await page.content()
  stage.check('the row tells its history', /search → ok/.test(await somebody.text()), (await somebody.text()).slice(0, 400))
  stage.check('the number stays masked', !shown.includes(nik))
  stage.same('found in three presses', somebody.presses, 3)
  await somebody.follow('Log in to reveal NIK and number')
  await somebody.logIn(token)
  await somebody.press('Reveal NIK and number')
  stage.check('revealed, it is shown', (await page.content()).includes(nik), (await somebody.text()).slice(0, 300))
  await stage.accessible('who was revealed', page)
  stage.check('a NIK is in no address', addresses.every(address => !address.includes(nik)))
  await somebody.follow('Who did what')
  stage.check('and that is noted', /Sari \(unverified\)\s+looked at a NIK and number/.test(await somebody.text()), await somebody.text())
  stage.behaved('one person', person)
}

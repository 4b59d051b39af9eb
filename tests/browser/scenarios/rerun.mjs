// A night that was missed is shown as missed, and run from the page.

import { logIn, press, until } from '../visit.mjs'

export default async function (stage, { token, date }) {
  const person = await stage.person()
  const { page } = person
  const missed = page => page.locator('[data-night=missed]').allInnerTexts()
  await stage.go(person, '/')
  const before = await missed(page)
  stage.same('one night is shown as missed', before.length, 1)
  const lead = page.locator(`main a[href="/actions?date=${date}"]`).first()
  stage.check('the page leads to what mends it', await lead.count() === 1, await page.locator('main').innerText())
  await logIn(person, { token, name: 'Sari' })
  await stage.go(person, '/')
  await lead.click()
  const form = page.locator('form[action="/actions/rerun"]').first()
  stage.same('the date is filled in', await form.locator('input[name=date]').inputValue(), date)
  await press(person, form)
  await stage.accessible('after the press', page)
  await stage.go(person, '/')
  const after = await until(person, missed, found => !found.length)
  stage.same('it is missed no more', after, [])
  stage.behaved('a rerun', person)
}

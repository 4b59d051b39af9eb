// A night that was missed is shown as missed, and run; by what the pages say and lead to.

import { Newcomer } from '../visit.mjs'

export default async function (stage, { token, date }) {
  const person = await stage.person()
  const somebody = new Newcomer(stage, person)
  const { page } = somebody
  const missed = page.locator('[data-night=missed]')
  await somebody.arrive()
  stage.same('one night is shown as missed', await missed.count(), 1)
  await somebody.act(missed.getByRole('link'))
  await somebody.follow('Log in')
  await somebody.logIn(token)
  stage.same('the date is filled in', await page.getByLabel('Run date').inputValue(), date)
  await somebody.press(/^Run$/)
  await stage.accessible('after the press', page)
  // It says so by itself.
  await page.getByText('Done:').waitFor({ timeout: 60000 })
  const begun = await page.locator('section[aria-labelledby=begun-title]').innerText()
  stage.check('it says what was done', begun.includes(`Run ${date}`) && /Done: \d+ rows/.test(begun), begun)
  await somebody.follow('Tonight')
  stage.same('it is missed no more', await missed.count(), 0)
  stage.behaved('a rerun', person)
}

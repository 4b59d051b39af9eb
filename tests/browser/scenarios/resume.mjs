// A run that was interrupted: the first page says that nobody works on it, and leads to what carries it on.

import { logIn, press, until } from '../visit.mjs'

export default async function (stage, { token, date }) {
  const person = await stage.person()
  const { page } = person
  await logIn(person, { token })
  await stage.go(person, '/')
  const run = await page.locator('#tonight h2 a[href^="/runs/"]').first().getAttribute('href')
  await stage.go(person, run)
  await page.locator('main a[href="/actions"]').first().click()
  await page.waitForLoadState('load')
  const form = page.locator(`form[action="/actions/resume"]:has(input[name=date][value="${date}"])`)
  if (!stage.check('the unfinished run is there to be resumed', await form.count() === 1, await page.locator('main').innerText())) return
  stage.check('it leads to its run', await form.locator(`a[href="${run}"]`).count() === 1)
  await press(person, form)
  await stage.accessible('a run that is carried on', page)
  await stage.go(person, run)
  const state = await until(person, page => page.locator('main .mark').first().innerText(), text => /Finished/.test(text))
  stage.check('the same run is finished', /Finished/.test(state), state)
  const acts = await page.locator('main').innerText()
  stage.check('who resumed it is noted on its page', /Sari \(unverified\)\s+carried on a run/.test(acts), acts.slice(-600))
  await stage.go(person, '/actions')
  stage.check('nothing is left to resume', await page.locator('form[action="/actions/resume"]').count() === 0)
  stage.behaved('a resume', person)
}

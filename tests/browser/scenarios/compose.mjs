// The page of docker-compose.yml after its night: it needs the log-in for reading too, and tells of the night.

import { logIn } from '../visit.mjs'

export default async function (stage, { token, picture }) {
  const person = await stage.person()
  const { page } = person
  await stage.go(person, '/')
  stage.same('beyond loopback reading needs the log-in', new URL(page.url()).pathname, '/login')
  await logIn(person, { token })
  await stage.go(person, '/')
  const said = await page.locator('main').innerText()
  stage.check('the first page tells of the night', /20,000|finished|dead letter/i.test(said), said.slice(0, 400))
  if (picture) await page.screenshot({ path: picture })
  await page.locator('#now-title a').click()
  await page.waitForLoadState('load')
  const run = await page.locator('main').innerText()
  stage.check('the run page counts its rows', /updated/i.test(run) && /unchanged/i.test(run), run.slice(0, 400))
  await stage.accessible('the run page', page)
  stage.behaved('the page of the compose file', person)
}

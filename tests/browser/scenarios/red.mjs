// Why last night is red: from the first page by the calendar, by what it says and leads to.

import { Newcomer } from '../visit.mjs'

export default async function (stage, { date, dead }) {
  const person = await stage.person()
  const somebody = new Newcomer(stage, person)
  const { page } = somebody
  await somebody.arrive()
  const verdict = await page.locator('.verdict').first().innerText()
  stage.check('the first page says that something is left to do', /failures of earlier nights/.test(verdict) &&
    verdict.includes(`${dead} rows could not be done`), verdict)
  await somebody.follow(`dead letters ${date}`)
  const run = await somebody.text()
  stage.check('the night says how many failed', run.includes(`${dead} rows could not be done`), run.slice(0, 400))
  stage.check('and whether it heals by itself', /do not heal by themselves: see why, then replay/.test(run), run.slice(0, 400))
  const [reason, count, means] = await page.locator('section[aria-labelledby=reasons-title] tbody tr').first()
    .locator('th, td').allInnerTexts()
  stage.check('why comes first among the reasons', /ambiguous patient|retries exhausted|rejected by server|patient /.test(reason), reason)
  stage.check('with how many and what it means', Number(count) > 0 && means.length > 40, `${count}: ${means}`)
  await stage.accessible('a red night', page)
  await somebody.follow('See the dead letters')
  const groups = await somebody.text()
  stage.check('what usually helps stands beside', groups.includes(reason.trim()) && /replay/i.test(groups), groups.slice(0, 400))
  stage.same('found in two presses', somebody.presses, 2)
  stage.behaved('why a night is red', person)
}

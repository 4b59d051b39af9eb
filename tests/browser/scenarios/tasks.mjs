// What somebody new does from the pages alone: find why the night is red, find one person's row, tell the field office
// which rows to correct.

import { logIn, press } from '../visit.mjs'

export default async function (stage, { token, nik, rejected }) {
  const person = await stage.person({ acceptDownloads: true })
  const { page } = person
  const text = () => page.locator('main').innerText()
  const addresses = []
  page.on('framenavigated', frame => addresses.push(frame.url()))
  person.context.on('request', request => addresses.push(request.url()))

  await stage.go(person, '/')
  const verdict = page.locator('.verdict')
  stage.check('the first page says that something failed', /fail/i.test(await verdict.innerText()), await verdict.innerText())
  await verdict.locator('a').click()
  await page.waitForLoadState('load')
  const reasons = await text()
  stage.check('one click on, each reason says what it means and what helps', /ambiguous patient/i.test(reasons) &&
    /replay/i.test(reasons), reasons.slice(0, 400))

  await page.locator('nav a[href="/find"]').click()
  const find = page.locator('form[action="/find"]')
  await find.locator('[name=nik]').fill(nik)
  await press(person, find)
  await stage.accessible('who was found', page)
  const row = page.locator('main a[href*="/rows/"]').first()
  stage.check('the person is found', await row.count() === 1, await text())
  await row.click()
  await page.waitForLoadState('load')
  const shown = await page.content()
  stage.check('the row tells its history', /search → ok/.test(await text()), (await text()).slice(0, 400))
  stage.check('the number stays masked', !shown.includes(nik))
  stage.check('a NIK is in no address', addresses.every(address => !address.includes(nik)))
  await logIn(person, { token, name: 'Sari' })
  await stage.go(person, new URL(addresses.findLast(address => /\/rows\/\d+$/.test(address))).pathname)
  const own = new URL(page.url()).pathname
  await press(person, page.locator(`form[action="${own}"]`))
  stage.check('revealed, it is shown', (await page.content()).includes(nik), (await text()).slice(0, 300))
  await stage.go(person, '/acts')
  stage.check('and that is noted', /looked at a NIK and number/.test(await text()) && (await text()).includes('Sari'))

  await stage.go(person, '/')
  await page.locator('main a[href^="/runs/"]').first().click()
  await page.waitForLoadState('load')
  const [download] = await Promise.all([
    page.waitForEvent('download'), page.locator('main a[href*="rows.csv?outcome=rejected"]').first().click()
  ])
  const parts = []
  for await (const part of await download.createReadStream()) parts.push(part)
  const lines = Buffer.concat(parts).toString().trim().split('\n')
  stage.same('every row to correct is in the file', lines.length - 1, rejected)
  // The one NIK in clear is the explanations' example.
  const clear = line => /\d{16}/.test(line.replaceAll('3171234567890001', ''))
  const poor = lines.slice(1).filter(line => !/Row \d+/.test(line) || clear(line))
  stage.check('each with what is wrong, and nobody in clear', !poor.length, poor.slice(0, 3).join('\n'))
  stage.behaved('these tasks', person)
}

// A dry run, begun from the page: each page of it says that nothing was written, what would be, and from which number to
// which, masked; in both languages.

import { logIn, press, until } from '../visit.mjs'

const WORDS = {
  en: { dry: /This was a dry run\.\s+Nothing was written/, would: 'Would be updated' },
  id: { dry: /Ini uji coba\.\s+Tidak ada yang ditulis/, would: 'Akan diperbarui' }
}

export default async function (stage, { token, date, updated }) {
  const operator = await stage.person()
  await logIn(operator, { token })
  await stage.go(operator, `/actions?date=${date}`)
  const form = operator.page.locator('form[action="/actions/rerun"]')
  await form.locator('[name=dry_run]').check()
  await press(operator, form)
  const item = operator.page.locator('tr', { hasText: `Dry run ${date}` })
  await item.getByText('Done:').waitFor({ timeout: 60000 })
  await stage.go(operator, '/runs')
  const lines = page => page.locator('tbody tr').allInnerTexts()
  const line = (await until(operator, lines, found => found.length > 0)).find(text => text.includes(date))
  stage.check('the list of runs calls it a dry run', /Dry run, wrote nothing/.test(line), line)
  const run = await operator.page.locator('tbody th a').first().getAttribute('href')
  await stage.go(operator, '/')
  const calendar = await operator.page.locator('.calendar').innerText()
  stage.check('it is nobody\'s night', !/finished/.test(calendar), calendar)
  stage.behaved('a dry run that is begun', operator)
  const state = await operator.context.storageState()
  for (const lang of ['en', 'id']) {
    const person = await stage.person({ lang, storageState: state })
    const { page } = person
    const text = () => page.locator('main').innerText()
    for (const path of [run, `${run}/rows?outcome=updated`]) {
      await stage.go(person, path)
      stage.check(`${path} says that it is one (${lang})`, WORDS[lang].dry.test(await text()), (await text()).slice(0, 300))
      stage.check(`${path} says what would be done (${lang})`, (await text()).includes(WORDS[lang].would), (await text()).slice(0, 300))
      await stage.accessible(`${path} of a dry run (${lang})`, page)
    }
    const rows = page.locator('tbody tr')
    stage.same(`each row that would be updated is there (${lang})`, await rows.count(), updated)
    const numbers = await rows.locator('td:nth-of-type(4)').allInnerTexts()
    // Who has no number yet gets one from nothing.
    const masked = /^(\S*\*+\S* → )?\S*\*+\S*$/
    stage.check(`from which number to which, masked (${lang})`, numbers.every(cell => masked.test(cell.trim())) && numbers.some(cell => cell.includes('→')), numbers.slice(0, 3).join('; '))
    await rows.first().locator('th a').click()
    await page.waitForLoadState('load')
    stage.check(`the row says it too (${lang})`, WORDS[lang].dry.test(await text()) && / → /.test(await text()), (await text()).slice(0, 300))
    await stage.accessible(`a row of a dry run (${lang})`, page)
    stage.behaved(`a dry run (${lang})`, person)
    await person.close()
  }
}

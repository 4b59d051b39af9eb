// A replay as it goes: how many of its rows are done, of how many, by itself on the page where it was pressed and on the
// first page, in both languages.

import { logIn, press } from '../visit.mjs'

const NAMES = { en: 'Replayed rows done', id: 'Baris yang diulang, selesai' }

// Watches a page that is not loaded again until the replay on it has ended, or for a minute.
async function watch(stage, { page }, lang, isOver) {
  const bar = page.getByRole('progressbar', { name: NAMES[lang] })
  const seen = []
  const ends = Date.now() + 60000
  while (Date.now() < ends && !await isOver(page)) {
    const value = Number(await bar.getAttribute('value', { timeout: 1000 }).catch(() => NaN))
    if (Number.isFinite(value) && value !== seen.at(-1)) seen.push(value)
    if (seen.length === 2) await stage.accessible(`a replay under way (${lang})`, page)
    await page.waitForTimeout(100)
  }
  stage.check(`its progress moves by itself (${lang})`, seen.length >= 3, seen.join(' '))
  stage.check(`it never goes back (${lang})`, seen.every((value, index) => !index || value >= seen[index - 1]), seen.join(' '))
}

const has = selector => async page => await page.locator(selector).count() > 0

export default async function (stage, { token, reason, rows }) {
  const person = await stage.person()
  const other = await stage.person({ lang: 'id' })
  const { page } = person
  await logIn(person, { token })
  await stage.go(person, `/dead-letters/${reason}`)
  const choice = page.locator('form[action="/dead-letters/preview"]')
  await choice.locator('button[name=all]').click()
  await page.waitForLoadState('load')
  await press(person, page.locator('form[action="/actions/replay"]'))
  await page.locator('[data-replay=under-way]').waitFor()
  await stage.go(other, '/')
  stage.same('the first page tells of it', await other.page.locator('[data-replay=under-way]').count(), 1)
  const verdict = (await other.page.locator('.verdict').allInnerTexts()).join(' ')
  stage.check('and what it is doing', /Pengulangan sedang berjalan/.test(verdict), verdict)
  await Promise.all([
    watch(stage, person, 'en', has('[data-replay=finished]')),
    watch(stage, other, 'id', async page => !await has('[data-replay]')(page))
  ])
  const ended = await page.locator('[data-replay=finished]').innerText()
  stage.check('it tells by itself that all are done', ended.includes('Finished') && ended.includes(`${rows} / ${rows}`), ended)
  stage.check('and what became of them', new RegExp(`Updated\\s+${rows}`).test(ended), ended)
  await page.getByText('Done:').waitFor()
  await stage.accessible('a replay that ended', page)
  await page.locator('[data-replay=finished] a[href^="/runs/"]').click()
  await page.waitForLoadState('load')
  stage.check('it leads to the run', /^\/runs\//.test(new URL(page.url()).pathname), page.url())
  stage.behaved('a replay that is watched', person)
  stage.behaved('the same by somebody else', other)
}

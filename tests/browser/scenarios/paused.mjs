// The page of a run that is paused: why, that it heals by itself, and that there is nothing to press; in both languages.

const HEALS = { en: /It heals by itself/, id: /Pulih sendiri/ }
const PRESS = { en: /Nothing to press/i, id: /Tidak perlu menekan apa pun/i }
const PAUSED = { en: /Paused/, id: /Jeda/ }

export default async function (stage, { why }) {
  for (const lang of ['en', 'id']) {
    const person = await stage.person({ lang })
    const { page } = person
    await stage.go(person, '/')
    const verdict = (await page.locator('.verdict').allInnerTexts()).join(' ')
    stage.check(`the first page says that it is paused (${lang})`, PAUSED[lang].test(verdict), verdict)
    await page.locator('#tonight h2 a[href^="/runs/"]').first().click()
    await page.waitForLoadState('load')
    const gate = page.locator('section[aria-labelledby=gate-title]')
    if (!stage.check(`the run's page tells of the pause (${lang})`, await gate.count() === 1, page.url())) continue
    const text = await gate.innerText()
    stage.check(`and why (${lang})`, text.includes(why), text)
    stage.check(`that it heals by itself (${lang})`, HEALS[lang].test(text), text)
    stage.check(`that there is nothing to press (${lang})`, PRESS[lang].test(text), text)
    const state = await page.locator('main .mark').first().innerText()
    stage.check(`the run is called paused (${lang})`, PAUSED[lang].test(state), state)
    await stage.accessible(`a paused run (${lang})`, page)
    stage.behaved(`a paused run (${lang})`, person)
    await person.close()
  }
}

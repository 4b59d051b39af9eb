// Every page that a link leads to, looked at in both languages, both colour schemes and at a phone's width, and gone
// through by the Tab key.

import { DESK, PHONE } from '../stage.mjs'
import { logIn } from '../visit.mjs'

// Pages that differ only in whom or what they are about are one kind: one of each is looked at.
export const kind = url => url.pathname
  .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'RUN')
  .replace(/\d{4}-\d\d(-\d\d)?/g, 'DATE')
  .replace(/\/\d+/g, '/N') + [...url.searchParams.keys()].sort().map(key => ` ${key}`).join('')

async function links(page) {
  return page.evaluate(() => [...document.querySelectorAll('a[href]')].map(link => link.href))
}

// One page of each kind, in the order they are found.
export async function crawl(stage, person, start = '/') {
  const found = new Map()
  const waiting = [new URL(start, stage.base).href]
  while (waiting.length && found.size < 60) {
    const url = new URL(waiting.shift())
    if (url.origin !== new URL(stage.base).origin || found.has(kind(url))) continue
    // The switch of the language would stay switched.
    if (url.pathname.startsWith('/language/')) continue
    const path = url.pathname + url.search
    const response = await person.context.request.get(path, { failOnStatusCode: false, maxRedirects: 0 }).catch(() => null)
    // What is no page (a report to keep, the language's switch) is not looked at.
    if (!response || !(response.headers()['content-type'] ?? '').startsWith('text/html')) continue
    if (response.status() !== 200) continue
    found.set(kind(url), path)
    await stage.go(person, path)
    waiting.push(...await links(person.page))
  }
  return found
}

export default async function (stage, input) {
  const scout = await stage.person()
  if (input.token) await logIn(scout, input)
  const pages = await crawl(stage, scout)
  const state = await scout.context.storageState()
  await scout.close()
  stage.tell({ kinds: [...pages.keys()] })
  for (const lang of ['en', 'id']) {
    for (const scheme of ['light', 'dark']) {
      const person = await stage.person({ lang, scheme, screen: DESK, storageState: state })
      for (const [name, path] of pages) {
        const what = `${name} (${lang}, ${scheme})`
        await stage.go(person, path)
        stage.same(`${what}: its language`, await person.page.getAttribute('html', 'lang'), lang)
        stage.same(`${what}: one heading of the first rank`, await person.page.locator('h1').count(), 1)
        await stage.accessible(what, person.page)
        stage.behaved(what, person)
      }
      await person.close()
    }
  }
  const switching = await stage.person({ lang: 'id' })
  const language = () => switching.page.getAttribute('html', 'lang')
  await stage.go(switching, '/runs')
  stage.same('the browser chooses the language', await language(), 'id')
  await switching.page.locator('a[hreflang=en]').click()
  await switching.page.waitForLoadState('load')
  stage.same('the switch leads back to the same page', new URL(switching.page.url()).pathname, '/runs')
  await stage.go(switching, '/')
  stage.same('the language stays switched', await language(), 'en')
  const phone = await stage.person({ screen: PHONE, storageState: state })
  const keyboard = await stage.person({ storageState: state })
  for (const [name, path] of pages) {
    await stage.go(phone, path)
    await stage.fits(name, phone.page)
    await stage.accessible(`${name} on a phone`, phone.page)
    await stage.go(keyboard, path)
    await stage.tabbable(name, keyboard.page)
  }
}

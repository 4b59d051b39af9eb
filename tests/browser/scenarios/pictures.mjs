// Pictures of the pages: of a night under way, or of one that ended with failures.

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { logIn } from '../visit.mjs'

const SCREEN = { width: 1100, height: 780 }

// The first link whose path is like this.
async function lead(page, like) {
  const paths = await page.evaluate(() => [...document.querySelectorAll('main a[href]')].map(link => link.getAttribute('href')))
  return paths.find(path => like.test(path))
}

export default async function (stage, { token, folder, when }) {
  const person = await stage.person({ screen: SCREEN })
  const { page } = person
  const take = async (name, path, more = person) => {
    if (!stage.check(`there is a page for ${name}`, path !== undefined)) return
    await stage.go(more, path)
    const file = join(folder, `${name}.png`)
    await more.page.screenshot({ path: file, animations: 'disabled' })
    const size = statSync(file).size
    stage.check(`${name}.png is small`, size < 150000, size)
  }
  if (when === 'under-way') {
    await stage.go(person, '/')
    const ends = Date.now() + 60000
    for (;;) {
      const bar = page.locator('progress').first()
      const [value, most] = [await bar.getAttribute('value').catch(() => 0), await bar.getAttribute('max').catch(() => 1)]
      if (value / most > 0.4 || Date.now() > ends) break
      await page.waitForTimeout(200)
    }
    const run = await lead(page, /^\/runs\/[0-9a-f-]{36}$/)
    await take('night-under-way', '/')
    await take('run-under-way', run)
    return
  }
  await take('login', '/login')
  await logIn(person, { token, name: 'Sari' })
  await stage.go(person, '/')
  const run = await lead(page, /^\/runs\/[0-9a-f-]{36}$/)
  await take('night-with-failures', '/')
  await take('runs', '/runs')
  await take('run-with-failures', run)
  await take('rows', `${run}/rows?outcome=dead_lettered`)
  await take('row', await lead(page, /\/rows\/\d+$/))
  await take('find', '/find')
  await take('dead-letters', '/dead-letters')
  await take('dead-letters-of-one-reason', await lead(page, /^\/dead-letters\/[a-z_]+/))
  await take('actions', '/actions')
  await take('acts', '/acts')
  const state = await person.context.storageState()
  const phone = await stage.person({ screen: { width: 360, height: 740 }, scheme: 'dark', lang: 'id', storageState: state })
  await take('night-on-a-phone', '/', phone)
}

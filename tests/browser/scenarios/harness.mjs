// The watch itself: a page without a fault passes, and each fault of the other is found.

import { PHONE } from '../stage.mjs'

export default async function (stage) {
  for (const path of ['/good', '/bad']) {
    const person = await stage.person({ screen: PHONE })
    await stage.go(person, path)
    await stage.accessible(path, person.page)
    await stage.fits(path, person.page)
    await stage.tabbable(path, person.page)
    stage.behaved(path, person)
    await person.close()
  }
}

// Pages on paper: black on white whatever the screen's colours are, nothing to press or to go to, nothing cut off.

import { logIn } from '../visit.mjs'

// A4 less a centimetre on each side, at 96 pixels to the inch.
const PAPER = { width: 718, height: 1046 }

export default async function (stage, { token }) {
  const person = await stage.person({ scheme: 'dark', screen: PAPER })
  const { page } = person
  await logIn(person, { token })
  await stage.go(person, '/')
  const run = await page.locator('#tonight h2 a[href^="/runs/"]').first().getAttribute('href')
  for (const path of [run, '/', `${run}/rows?outcome=rejected`, '/dead-letters', '/acts']) {
    const name = `${path.replace(run, '/runs/RUN')} on paper`
    await stage.go(person, path)
    await page.emulateMedia({ media: 'print', colorScheme: 'dark', reducedMotion: 'reduce' })
    const seen = await page.evaluate(() => {
      const visible = element => element.checkVisibility()
      const all = [...document.querySelectorAll('body, body *')].filter(visible)
      const says = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())
      const color = (element, which) => getComputedStyle(element)[which]
      const short = element => element.outerHTML.slice(0, 100)
      const inked = color => !['rgba(0, 0, 0, 0)', 'rgb(255, 255, 255)'].includes(color)
      return {
        texts: all.filter(says).length,
        pale: all.filter(says).filter(element => !(element instanceof SVGElement) && color(element, 'color') !== 'rgb(0, 0, 0)').map(short),
        inked: all.filter(element => element.localName !== 'progress' && inked(color(element, 'backgroundColor'))).map(short),
        paper: color(document.body, 'backgroundColor'),
        pressed: all.filter(element => element.matches('nav, nav *, button, .button, input, select')).map(short),
        cut: all.filter(element => element.scrollWidth > element.clientWidth + 1 && color(element, 'overflowX') !== 'visible' &&
          !element.matches('.unseen, progress, svg')).map(short),
        split: [...document.querySelectorAll('tr')].filter(row => color(row, 'breakInside') !== 'avoid').length
      }
    })
    stage.check(`${name}: there is something on it`, seen.texts > 10, seen.texts)
    stage.check(`${name}: black`, !seen.pale.length, seen.pale.slice(0, 3).join(' '))
    stage.check(`${name}: on white`, seen.paper === 'rgb(255, 255, 255)' && !seen.inked.length, seen.inked.slice(0, 3).join(' '))
    stage.check(`${name}: nothing to press or to go to`, !seen.pressed.length, seen.pressed.slice(0, 3).join(' '))
    stage.check(`${name}: nothing is cut`, !seen.cut.length, seen.cut.slice(0, 3).join(' '))
    stage.same(`${name}: no line of a table is split between pages`, seen.split, 0)
    await stage.fits(name, page)
    await page.emulateMedia({ media: 'screen', colorScheme: 'dark', reducedMotion: 'reduce' })
  }
  stage.behaved('on paper', person)
}

// What scenarios are played on: pages that are watched for what no page may do, and the checks that every page must pass.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

// The narrowest phones in use, and what WCAG 1.4.10 asks of a page: no scrolling sideways at 320 pixels.
export const PHONE = { width: 320, height: 640 }
export const DESK = { width: 1280, height: 900 }

export class Stage {
  constructor(browser, input, tell) {
    this.browser = browser
    this.base = input.base
    this.tell = tell
  }

  check(name, ok, detail = '') {
    this.tell({ check: name, ok: Boolean(ok), detail: String(detail) })
    return Boolean(ok)
  }

  same(name, found, expected) {
    return this.check(name, JSON.stringify(found) === JSON.stringify(expected),
      `${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`)
  }

  // A browser of one person: language, colours, screen. What its pages do wrong is kept in `faults`.
  async person({ lang = 'en', scheme = 'light', screen = DESK, ...more } = {}) {
    const context = await this.browser.newContext({
      baseURL: this.base, locale: lang, colorScheme: scheme, viewport: screen, reducedMotion: 'reduce',
      timezoneId: 'Asia/Jakarta', ...more
    })
    context.setDefaultTimeout(15000)
    const faults = []
    const host = new URL(this.base).host
    context.on('request', request => {
      const url = new URL(request.url())
      if (/^(https?|wss?):$/.test(url.protocol) && url.host !== host) faults.push(`asked ${url.host}`)
    })
    context.on('weberror', error => faults.push(`script error: ${error.error().message}`))
    context.on('console', message => {
      if (message.type() === 'error') faults.push(`console: ${message.text()}`)
    })
    await context.exposeBinding('told_violation', (_, what) => { faults.push(`policy: ${what}`) })
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', event =>
        globalThis.told_violation(`${event.violatedDirective} forbids ${event.blockedURI}`))
    })
    const page = await context.newPage()
    return { context, page, faults, close: () => context.close() }
  }

  // Goes to a path and answers with the response.
  async go(person, path) {
    return person.page.goto(path, { waitUntil: 'load' })
  }

  // Nothing that this person's pages did was wrong.
  behaved(name, person, allowed = () => false) {
    const faults = person.faults.filter(fault => !allowed(fault))
    person.faults.length = 0
    return this.check(`${name}: nothing leaves the host, no violation of the policy, no error`, !faults.length,
      [...new Set(faults)].join('; '))
  }

  // No violation by axe's rules, those for best practice included.
  async accessible(name, page) {
    // As the debugger evaluates it: no page's policy binds that.
    await page.evaluate(axe)
    const violations = await page.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] })
      return violations.map(({ id, nodes }) =>
        `${id}: ${nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' ')}`)
    })
    return this.check(`${name}: axe finds nothing`, !violations.length, violations.join('\n  '))
  }

  // Fits the width of the screen it is on.
  async fits(name, page) {
    const over = await page.evaluate(() => {
      const width = document.documentElement.clientWidth
      if (document.documentElement.scrollWidth <= width) return null
      const widest = [...document.querySelectorAll('body *')]
        .filter(element => element.getBoundingClientRect().right > width + 1)
        .slice(0, 3).map(element => element.outerHTML.slice(0, 120))
      return `${document.documentElement.scrollWidth} of ${width}: ${widest.join(' ')}`
    })
    return this.check(`${name}: no scrolling sideways`, over === null, over)
  }

  // Everything that can be operated is reached by the Tab key, and shows that it is.
  async tabbable(name, page) {
    await page.evaluate(() => { document.activeElement?.blur(); globalThis.scrollTo(0, 0) })
    const wanted = await page.evaluate(() =>
      [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
        .filter(element => element.checkVisibility() && !element.disabled && element.type !== 'hidden' && element.tabIndex >= 0)
        // Of the radio buttons of one group, one is reached.
        .filter(element => element.type !== 'radio' || element.checked).length)
    let reached = 0
    const plain = []
    for (let presses = 0; presses < wanted + 5; presses += 1) {
      await page.keyboard.press('Tab')
      const at = await page.evaluate(() => {
        const element = document.activeElement
        if (!element || element === document.body || element.dataset.reached) return null
        element.dataset.reached = 'yes'
        const style = getComputedStyle(element)
        const shown = style.outlineStyle !== 'none' || style.boxShadow !== 'none'
        return { shown, html: element.outerHTML.slice(0, 100) }
      })
      if (!at) continue
      reached += 1
      if (!at.shown) plain.push(at.html)
    }
    this.check(`${name}: the Tab key reaches everything`, reached >= wanted, `${reached} of ${wanted}`)
    return this.check(`${name}: what has the focus shows it`, !plain.length, plain.slice(0, 3).join(' '))
  }
}

// What people do on the pages, found by the form it is in and not by its words: the same in both languages.

// Logs in, and waits for the page that follows.
export async function logIn({ page }, { token, name = 'Sari' }) {
  await page.goto('/login')
  const form = page.locator('form[action^="/login"]')
  await form.locator('[name=token]').fill(token)
  await form.locator('[name=name]').fill(name)
  const [response] = await Promise.all([
    page.waitForResponse(response => response.request().method() === 'POST'),
    form.locator('[type=submit], button:not([type])').click()
  ])
  await page.waitForLoadState('load')
  return response
}

// Presses a form's button and waits for the page that follows.
export async function press({ page }, form) {
  const [response] = await Promise.all([
    page.waitForResponse(response => response.request().method() === 'POST'),
    form.locator('[type=submit], button:not([type])').first().click()
  ])
  await page.waitForLoadState('load')
  return response
}

// Reads the page again until it is as wanted, for at most half a minute; the last reading.
export async function until({ page }, read, isWanted) {
  const ends = Date.now() + 30000
  for (;;) {
    const seen = await read(page)
    if (isWanted(seen) || Date.now() > ends) return seen
    await page.waitForTimeout(250)
    await page.reload()
  }
}

// Somebody who was never here: goes only where a link that can be read leads, and presses only what can be read.
export class Newcomer {
  constructor(stage, person) {
    Object.assign(this, { stage, person, page: person.page, presses: 0 })
  }

  async arrive() {
    await this.stage.go(this.person, '/')
  }

  // Follows the first link with these words.
  async follow(words) {
    await this.act(this.page.getByRole('link', { name: words }).first())
  }

  // Presses the first button with these words.
  async press(words) {
    await this.act(this.page.getByRole('button', { name: words }).first())
  }

  async act(control) {
    if (!this.stage.check(`there is something to press: ${control}`, await control.count() > 0, await this.text())) {
      throw new Error(`stalled at ${this.page.url()}`)
    }
    this.presses += 1
    const loaded = this.page.waitForEvent('load')
    await control.click()
    await loaded
  }

  // Fills in the log-in that it was led to.
  async logIn(token, name = 'Sari') {
    await this.page.getByLabel('Your name').fill(name)
    await this.page.getByLabel('Token').fill(token)
    await this.press('Log in')
  }

  text() {
    return this.page.locator('main').innerText()
  }
}

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

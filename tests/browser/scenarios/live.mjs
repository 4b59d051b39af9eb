// A night as it runs: the page follows by itself, can be paused, and ends as the night does.

export default async function (stage, { run }) {
  const person = await stage.person()
  const { page } = person
  await stage.go(person, '/')
  // The page is not loaded again from here: whatever changes came by itself.
  const bar = page.locator('progress').first()
  const seen = []
  const read = async () => {
    const value = Number(await bar.getAttribute('value').catch(() => null))
    if (Number.isFinite(value) && value !== seen.at(-1)) seen.push(value)
    return value
  }
  const ends = Date.now() + 60000
  while (seen.length < 4 && Date.now() < ends) {
    await read()
    await page.waitForTimeout(200)
  }
  stage.check('progress moves by itself', seen.length >= 3, seen.join(' '))
  stage.check('it never goes back', seen.every((value, index) => !index || value >= seen[index - 1]), seen.join(' '))
  await stage.accessible('a night under way', page)
  const pause = page.locator('[data-live-pause]').first()
  if (stage.check('it can be paused', await pause.count() === 1)) {
    await pause.click()
    const held = await read()
    await page.waitForTimeout(3000)
    stage.same('paused, it stands still', Number(await bar.getAttribute('value')), held)
    await pause.click()
  }
  stage.tell({ seen })
  stage.behaved('a night under way', person)
}

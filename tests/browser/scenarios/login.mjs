// Who gets in, and what is done for whom: a wrong token, the right one, forms that no page of ours sent, and too many
// wrong tokens.

import { logIn } from '../visit.mjs'

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

export default async function (stage, { token, path = '/actions/resume' }) {
  const person = await stage.person()
  const { page, context } = person
  const expected = fault => /40[0-9]|429/.test(fault)
  const post = async (csrf, headers = {}) => {
    const data = new URLSearchParams(csrf === null ? {} : { csrf }).toString()
    const answer = await context.request.post(path, { data, headers: { ...FORM, ...headers }, maxRedirects: 0 })
    return answer.status()
  }

  const refused = await logIn(person, { token: `${token}x` })
  stage.same('a wrong token is refused', refused.status(), 401)
  stage.check('the page says so', await page.locator('[role=alert]').count() === 1)
  stage.check('a wrong token is not shown again', !(await page.content()).includes(`${token}x`))
  await stage.accessible('a refused log-in', page)
  stage.check('nothing is done without a log-in', [303, 401, 403].includes(await post(null)))

  // By the keyboard alone: the mouse is not touched.
  await page.goto('/login')
  for (let presses = 0; presses < 30; presses += 1) {
    await page.keyboard.press('Tab')
    if (await page.evaluate(() => document.activeElement?.name) === 'name') break
  }
  await page.keyboard.type('Sari')
  await page.keyboard.press('Tab')
  await page.keyboard.type(token)
  await page.keyboard.press('Enter')
  await page.waitForURL(url => url.pathname === '/')
  const [cookie] = (await context.cookies()).filter(cookie => cookie.name === 'ns_session')
  stage.check('the session is kept from scripts and other sites', cookie?.httpOnly && cookie?.sameSite === 'Strict',
    JSON.stringify({ ...cookie, value: undefined }))
  await page.goto('/actions')
  const csrf = await page.locator('input[name=csrf]').first().inputValue()
  stage.check('a form without its token does nothing', [400, 403].includes(await post(null)))
  stage.check('a form with another token does nothing', [400, 403].includes(await post('0'.repeat(csrf.length))))
  const foreign = await post(csrf, { origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' })
  stage.check('a form from elsewhere does nothing', [400, 403].includes(foreign), foreign)

  await page.goto('/')
  await page.locator('form[action^="/logout"]').first().locator('button').click()
  await page.waitForLoadState('load')
  stage.check('whoever logged out does nothing', [303, 401, 403].includes(await post(csrf)))

  let wrong = 0
  while (wrong < 10 && (await logIn(person, { token: 'wrong' })).status() === 401) wrong += 1
  stage.check('wrong tokens are soon held back', wrong < 10, wrong)
  stage.same('then the right one has to wait too', (await logIn(person, { token })).status(), 429)
  stage.behaved('log-in', person, expected)
}

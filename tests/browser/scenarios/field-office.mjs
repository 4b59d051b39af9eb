// What to tell the field office: which rows to correct, what is wrong with each and how to write it, as a file; by what
// the pages say and lead to.

import { Newcomer } from '../visit.mjs'

export default async function (stage, { rejected, lang = 'en' }) {
  const words = {
    en: { rows: 'Rows for the field office', csv: 'These rows as CSV', row: /Row \d+/ },
    id: { rows: 'Baris untuk petugas lapangan', csv: 'Baris ini sebagai CSV', row: /Baris \d+/ }
  }[lang]
  const person = await stage.person({ lang, acceptDownloads: true })
  const somebody = new Newcomer(stage, person)
  const { page } = somebody
  await somebody.arrive()
  const verdict = await page.locator('.verdict').first().innerText()
  stage.check('the first page says how many are to be corrected', verdict.includes(String(rejected)), verdict)
  await somebody.follow(words.rows)
  stage.same('they are listed', await page.locator('main tbody tr').count(), Math.min(rejected, 50))
  await stage.accessible(`rows to correct (${lang})`, page)
  const [download] = await Promise.all([
    page.waitForEvent('download'), page.getByRole('link', { name: words.csv }).click()
  ])
  const parts = []
  for await (const part of await download.createReadStream()) parts.push(part)
  const lines = Buffer.concat(parts).toString().trim().split('\n')
  stage.same('every row to correct is in the file', lines.length - 1, rejected)
  // The one NIK in clear is the explanations' example.
  const clear = line => /\d{16}/.test(line.replaceAll('3171234567890001', ''))
  const poor = lines.slice(1).filter(line => !words.row.test(line) || clear(line))
  stage.check('each with what is wrong, and nobody in clear', !poor.length, poor.slice(0, 3).join('\n'))
  stage.behaved('the field office', person)
}

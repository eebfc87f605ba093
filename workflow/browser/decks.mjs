// Opens every deck of slides in a headless Chromium, from its file and with the network blocked, and goes through it.
//   node decks.mjs SLIDES_DIR [--pictures DIR] [NAME.html ...]
// Prints one line a deck and one a finding: what asks another host, a slide higher or wider than it may be, a picture that
// does not load, a formula that is not set, an error of the page. Exit status 1 when something was found, 3 without browser.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals: [folder, ...named] } = parseArgs({ options: { pictures: { type: 'string' } }, allowPositionals: true });
if (!folder) {
  console.error('usage: node decks.mjs SLIDES_DIR [--pictures DIR] [NAME.html ...]');
  process.exit(2);
}
const executablePath = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(file => file && existsSync(file));
const playwright = await import('playwright-core').catch(() => null);
if (!executablePath || !playwright) {
  console.log(`slides not looked at: no ${executablePath ? 'node modules' : 'chromium'}; with both installed, \`make browser\` readies them`);
  process.exit(3);
}

// Runs in the page: what is wrong with the slide that stands there.
function look() {
  const slide = window.Reveal.getCurrentSlide();
  const { width, height } = window.Reveal.getConfig();
  const title = slide.querySelector('h1, h2, h3')?.textContent.trim().slice(0, 50) ?? '';
  const findings = [];
  const box = slide.getBoundingClientRect();
  const scale = window.Reveal.getScale();
  const parts = [...slide.querySelectorAll(':scope > :not(aside), .slide *')].filter(part => part.checkVisibility() && !part.parentElement.closest('mjx-container')); // a formula's box, not its glyphs, whose own are larger
  const bottom = Math.max(...parts.map(part => part.getBoundingClientRect().bottom - box.top)) / scale;
  const right = Math.max(...parts.map(part => part.getBoundingClientRect().right - box.left)) / scale;
  if (bottom > height + 1) findings.push(`is ${Math.round(bottom)} high, expected at most ${height}`);
  if (right > width + 1) findings.push(`is ${Math.round(right)} wide, expected at most ${width}`);
  for (const image of slide.querySelectorAll('img:not([hidden])')) {
    if (!image.naturalWidth) findings.push(`has a picture that does not load: ${image.src.slice(-60)}`);
    if (!image.alt) findings.push('has a picture without alternative text');
  }
  const unset = [...slide.querySelectorAll('.math')].filter(formula => formula.textContent.trim() && !formula.querySelector('mjx-container'));
  if (unset.length) findings.push(`has ${unset.length} formulas that are not set: ${unset[0].textContent.trim().slice(0, 40)}`);
  if (slide.querySelector('mjx-merror')) findings.push('has a formula with an error');
  if (!slide.innerText.trim()) findings.push('is empty');
  return { title, findings, words: slide.innerText.split(/\s+/).length };
}

async function settle() {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
  window.Reveal.layout();
}

const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--host-resolver-rules=MAP * ~NOTFOUND'];
const browser = await playwright.chromium.launch({ executablePath, args });
const root = pathToFileURL(path.resolve(folder) + path.sep).href;
const decks = named.length ? named : readdirSync(folder).filter(name => name.endsWith('.html') && name !== 'index.html').sort();
if (values.pictures) mkdirSync(values.pictures, { recursive: true });
let count = 0, outside = 0;
for (const name of decks) {
  const find = what => { count += 1; console.log(`${name} ${what}`); };
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 720 } })).newPage();
  const isOutside = url => !/^(data|blob|about):/.test(url) && !url.startsWith(root) && !url.startsWith(new URL('..', root).href);
  await page.route(url => isOutside(url.href), route => {
    outside += 1;
    find(`asks for ${route.request().url().slice(0, 100)}`);
    return route.abort();
  });
  page.on('pageerror', error => find(`page error: ${error.message.slice(0, 160)}`));
  page.on('console', said => said.type() === 'error' && find(`console error: ${said.text().slice(0, 160)}`));
  await page.goto(pathToFileURL(path.join(folder, name)).href, { waitUntil: 'load', timeout: 60000 });
  await page.evaluate(settle);
  const slides = await page.evaluate(() => window.Reveal.getTotalSlides());
  for (let k = 0; k < slides; k++) {
    const { title, findings } = await page.evaluate(look);
    findings.forEach(what => find(`slide ${k + 1} (${title}) ${what}`));
    if (values.pictures) await page.screenshot({ path: path.join(values.pictures, `${name.replace('.html', '')}-${String(k + 1).padStart(2, '0')}.png`) });
    await page.evaluate(() => window.Reveal.next());
    await page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
  }
  if (!slides) find('has no slide');
  console.log(`${name}: ${slides} slides`);
  await page.context().close();
}
await browser.close();
console.log(`${decks.length} decks, ${count} findings, ${outside} outside requests`);
process.exitCode = count || !decks.length ? 1 : 0;

// What would a reader meet? Opens every page of the built book in chromium, from its file and without a network: light,
// dark, on a phone. Looks at layout, formulas, pictures, sliders, print and accessibility.
//   npm ci --prefix workflow/browser
//   node workflow/browser/browse.mjs HTML_DIR [--pictures DIR] [page.html ...]
// Prints findings and '<n> pages, <m> findings'. Exit status: 0 nothing found, 1 something found or no page, 2 wrong
// arguments, 3 skipped: a tool is missing. CHROMIUM names the browser; else /usr/bin/chromium, else chromium on PATH.
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

// What axe finds in markup that the book's tools write and we cannot: a rule, the elements it may find fault with, and
// why. A whole rule is never allowed: the same fault anywhere else is a finding.
const ALLOWED = [
  // docutils gives each entry of a bibliography a role that DPUB-ARIA 1.1 deprecates in favour of list items.
  { rule: 'aria-deprecated-role', selector: '.citation-list > .citation[role="doc-biblioentry"]' },
  // The list around those entries, by docutils too: they are not the list items that its role asks for.
  { rule: 'aria-required-children', selector: '.citation-list[role="list"]' },
];

const DESKTOP = { width: 1400, height: 1000 };
const MODES = {
  light: { viewport: DESKTOP, colorScheme: 'light' },
  dark: { viewport: DESKTOP, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'light', hasTouch: true, deviceScaleFactor: 1.5 },
};
const AT_ONCE = 2; // pages open side by side: one waits while the other works
const PART = 3000; // pixels of a page in one picture; taller pages come in parts that can still be looked at

function skip(why) {
  console.log(`browser checks skipped: ${why}; with chromium, nodejs and npm installed, \`make browser\` readies them`);
  process.exit(3);
}

function runs(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function findChromium() {
  const { CHROMIUM: named, PATH: folders = '' } = process.env;
  const usual = ['/usr/bin/chromium', ...folders.split(path.delimiter).map(folder => path.join(folder, 'chromium'))];
  return (named ? [named] : usual).find(runs) ?? skip(`no chromium at ${named ?? '/usr/bin/chromium or on PATH'}`);
}

async function loadModules() {
  try {
    const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    return { axe, chromium: (await import('playwright-core')).chromium };
  } catch (error) {
    if (!['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND'].includes(error.code)) throw error;
    return skip('no node modules');
  }
}

// Folders that begin with an underscore hold files, not pages; nobody reads a page that only redirects.
function findPages(html, folder = html) {
  if (!existsSync(folder)) return [];
  const redirects = file => /http-equiv="?refresh/i.test(readFileSync(file, 'utf8').slice(0, 4000));
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const place = path.join(folder, entry.name);
    if (entry.isDirectory()) return /^[_.]/.test(entry.name) ? [] : findPages(html, place);
    return entry.name.endsWith('.html') && !redirects(place) ? [path.relative(html, place)] : [];
  }).sort();
}

// Runs in the page: resolves when formulas, fonts and pictures are there.
async function settle() {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}

// Runs in the page: what a reader may open is open, so that it is checked too, and does not fade in while axe measures.
// The theme gives blocks that scroll their tab stop some 300 ms after a change of size, and does not see these changes.
async function openAll() {
  const still = document.createElement('style');
  still.textContent = '* { animation: none !important; transition: none !important }';
  document.head.append(still);
  document.querySelectorAll('article details').forEach(details => { details.open = true; });
  document.querySelectorAll('article .toggle-hidden').forEach(block => block.classList.remove('toggle-hidden'));
  window.dispatchEvent(new Event('resize'));
  const waits = part => part.scrollWidth > part.clientWidth && part.tabIndex < 0
    && /auto|scroll/.test(getComputedStyle(part).overflowX);
  const last = performance.now() + 400;
  while (performance.now() < last && [...document.querySelectorAll('article *')].some(waits)) {
    await new Promise(done => setTimeout(done, 25));
  }
}

// Runs in the page: layout, pictures, formulas.
function lookAround() {
  const findings = [];
  const article = document.querySelector('article') ?? document.body;
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth + 1) {
    const scrolls = part => part && part !== document.body
      && (getComputedStyle(part).overflowX !== 'visible' || scrolls(part.parentElement));
    const sticksOut = part => part.getBoundingClientRect().right > innerWidth + 1 && !scrolls(part.parentElement);
    const culprit = [...article.querySelectorAll('*')].filter(sticksOut).at(-1)?.cloneNode().outerHTML.slice(0, 80);
    findings.push(`sideways overflow: ${width} px in a window of ${innerWidth}${culprit ? ', by ' + culprit : ''}`);
  }
  for (const image of article.querySelectorAll('img')) {
    if (image.complete && !image.naturalWidth) findings.push(`picture does not load: ${image.src.slice(-80)}`);
  }
  const formulas = [...article.querySelectorAll('.math')].filter(formula => formula.textContent.trim());
  const unset = formulas.filter(formula => !formula.querySelector('mjx-container'));
  if (unset.length) {
    const example = unset[0].textContent.trim().slice(0, 60);
    findings.push(`${unset.length} of ${formulas.length} formulas not rendered: ${example}`);
  }
  for (const error of article.querySelectorAll('mjx-merror')) {
    findings.push(`formula with an error: ${error.getAttribute('data-mjx-error') ?? error.textContent}`);
  }
  for (const block of article.querySelectorAll('div.math')) {
    const [formula, number] = ['mjx-container', '.eqno'].map(name => block.querySelector(name));
    if (!formula?.checkVisibility()) continue;
    const words = formula.textContent.trim().slice(0, 40) || block.id;
    const isLong = formula.scrollWidth > formula.clientWidth + 1;
    const scrolls = /auto|scroll/.test(getComputedStyle(formula).overflowX);
    if (isLong && !scrolls) findings.push(`formula cut off: ${words}`);
    if (!number) continue;
    const [box, other] = [formula, number].map(part => part.getBoundingClientRect());
    const isBeside = box.bottom > other.top + 1 && other.bottom > box.top + 1;
    if (isBeside && box.right > other.left + 1 && other.right > box.left + 1) {
      findings.push(`formula under its number: ${number.textContent.trim()} ${words}`);
    } else if (isBeside && isLong && scrolls) findings.push(`formula scrolls beside its number: ${number.textContent.trim()} ${words}`);
  }
  const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { parentElement: parent, data } = texts.currentNode;
    const [delimiter] = data.match(/\\\(|\\\[|\$\$/) ?? [];
    if (delimiter && parent.checkVisibility() && !parent.closest('pre, code, script, style, textarea, mjx-container')) {
      findings.push(`raw ${delimiter} in the text: ${data.trim().slice(0, 60)}`);
    }
  }
  return findings;
}

// Runs in the page: which pictures of one slider block can be seen, and their alt texts.
function seen(block) {
  const shows = image => image.checkVisibility({ visibilityProperty: true, opacityProperty: true })
    && image.getBoundingClientRect().width > 0;
  const pictures = [...block.querySelectorAll('img')].map((image, k) => ({ image, which: `${k} ${image.src}` }));
  return pictures.filter(({ image }) => shows(image)).map(({ image, which }) => ({ which, alt: image.alt }));
}

// From the first picture to another and back, by the keys of a range input: does the key leave the first picture?
const KEYS = [['ArrowRight', true], ['ArrowLeft', false], ['End', true], ['Home', false]];

async function trySlider(page, block) {
  const slider = block.locator('input[type=range]');
  const inputs = await slider.count();
  if (inputs !== 1) return [`has ${inputs} range inputs, expected one`];
  const start = await block.evaluate(seen);
  if (start.length !== 1) return [`shows ${start.length} pictures, expected one`];
  const isInReach = await slider.evaluate(input => input.tabIndex >= 0 && !input.disabled);
  if (!isInReach) return ['is out of reach of the keyboard'];
  await slider.focus();
  await page.keyboard.press('Home');
  const [first] = await block.evaluate(seen);
  const findings = new Set();
  for (const [key, leaves] of KEYS) {
    await page.keyboard.press(key);
    const pictures = await block.evaluate(seen);
    const [now] = pictures;
    if (pictures.length !== 1) findings.add(`shows ${pictures.length} pictures after ${key}, expected one`);
    else if ((now.which !== first?.which) !== leaves) findings.add(`moves no picture with ${key}`);
    else if ((now.alt !== first.alt) !== leaves) findings.add(`keeps the alt text of another picture: ${now.alt}`);
  }
  return [...findings];
}

async function trySliders(page) {
  const blocks = await page.locator('.frames').all();
  const findings = [];
  for (const [k, block] of blocks.entries()) {
    await page.emulateMedia({ media: 'print' });
    const { length } = await block.evaluate(seen);
    await page.emulateMedia({ media: null });
    if (length !== 1) findings.push(`slider ${k + 1} prints ${length} pictures, expected one`);
    findings.push(...(await trySlider(page, block)).map(what => `slider ${k + 1} ${what}`));
  }
  return findings;
}

async function tryAxe(page, axe) {
  await page.evaluate(axe);
  return page.evaluate(async allowed => {
    const article = document.querySelector('article');
    if (!article) return [];
    // preload would fetch the style sheets again, which a browser refuses to a page that comes from a file.
    const options = { runOnly: ['wcag2a', 'wcag2aa'], resultTypes: ['violations'], preload: false };
    const { violations } = await window.axe.run(article, options);
    return violations.flatMap(({ id, help, nodes }) => {
      const isAllowed = ({ target }) => allowed.some(({ rule, selector }) =>
        rule === id && document.querySelector(target[0])?.matches(selector));
      const left = nodes.filter(node => !isAllowed(node));
      const example = left[0]?.html.replace(/\s+/g, ' ').slice(0, 90);
      return left.length ? [`axe ${id} x${left.length}: ${help}: ${left[0].target[0]} ${example}`] : [];
    });
  }, ALLOWED);
}

async function photograph(page, stem, { width }) {
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  for (let k = 0; k * PART < height; k++) {
    const clip = { x: 0, y: k * PART, width, height: Math.min(PART, height - k * PART) };
    await page.screenshot({ path: `${stem}${height > PART ? `-${k + 1}` : ''}.png`, fullPage: true, clip });
  }
}

async function lookAt(page, address, mode, axe, stem) {
  await page.goto(address, { waitUntil: 'load', timeout: 30000 });
  await page.evaluate(settle);
  if (stem) await photograph(page, stem, MODES[mode].viewport);
  await page.evaluate(openAll);
  const findings = [...await page.evaluate(lookAround), ...await tryAxe(page, axe)];
  return mode === 'light' ? [...findings, ...await trySliders(page)] : findings; // no colour or width moves a slider
}

// Pages of the API are made alike by Sphinx: each is looked at in one mode, one after the other.
function modesOf(name) {
  const modes = Object.keys(MODES);
  if (!name.startsWith(path.join('book', 'api') + path.sep)) return modes;
  return [modes[[...name].reduce((sum, letter) => sum + letter.codePointAt(), 0) % modes.length]];
}

async function browse(browser, axe, html, pages, pictures) {
  const root = pathToFileURL(html + path.sep).href;
  const isOutside = url => !/^(data|blob|about):/.test(url) && !url.startsWith(root);
  let count = 0;
  for (const [mode, options] of Object.entries(MODES)) {
    const context = await browser.newContext({ ...options, bypassCSP: true, serviceWorkers: 'block' });
    const left = pages.filter(name => modesOf(name).includes(mode));
    const work = async () => {
      const name = left.shift();
      if (!name) return;
      const find = what => { count += 1; console.log(`${name} [${mode}] ${what}`); };
      const page = await context.newPage();
      await page.routeWebSocket(() => true, socket => find(`outside request ${socket.url().slice(0, 100)}`));
      await page.route(url => isOutside(url.href), route => {
        find(`outside request ${route.request().url().slice(0, 100)}`);
        return route.abort();
      });
      page.on('pageerror', error => find(`page error: ${error.message.slice(0, 160)}`));
      page.on('console', said => {
        // Of a request refused above the console complains too: once is enough.
        const refused = said.location().url && isOutside(said.location().url);
        if (said.type() === 'error' && !refused) find(`console error: ${said.text().slice(0, 160)}`);
      });
      const stem = pictures && path.join(pictures, `${name.replace(/\.html$/, '').replaceAll(path.sep, '_')}-${mode}`);
      try {
        (await lookAt(page, pathToFileURL(path.join(html, name)).href, mode, axe, stem)).forEach(find);
      } catch (error) {
        find(`could not be looked at: ${error.message.split('\n')[0].slice(0, 160)}`);
      }
      await page.close();
      await work();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await context.close();
  }
  return count;
}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({ options: { pictures: { type: 'string' } }, allowPositionals: true });
    const [html, ...named] = positionals;
    if (html) return { html: path.resolve(html), named, pictures: values.pictures };
  } catch (error) {
    console.error(error.message);
  }
  console.error('usage: node browse.mjs HTML_DIR [--pictures DIR] [page.html ...]');
  return process.exit(2);
}

const { html, named, pictures } = readArguments();
const executablePath = findChromium();
const { axe, chromium } = await loadModules();
if (pictures) mkdirSync(pictures, { recursive: true });
const pages = named.length ? named : findPages(html);
// A container gives root no sandbox, and the pages are our own. No name resolves: nothing gets past the routes.
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking'];
const browser = await chromium
  .launch({ executablePath, args: [...args, '--host-resolver-rules=MAP * ~NOTFOUND'] })
  .catch(error => skip(`${executablePath} does not start (${error.message.split('\n')[0]})`));
const findings = await browse(browser, axe, html, pages, pictures);
await browser.close();
console.log(`${pages.length} pages, ${findings} findings`);
process.exitCode = findings || !pages.length ? 1 : 0;

// Chromium as installed, one page per person, each with storage of its own. See script.mjs for how it is driven: the steps of a
// journey are in the test, this only knows how to click.
//
// Given: {executable: "/path/to/chromium", switches: ["--more"]}.

import { chromium } from 'playwright-core';

import { given, report, serve } from './script.mjs';

/** A page on a busy machine; a test's own deadline is a little longer, so that the reason given is the browser's. */
const STEP_MS = 25_000;

const browser = await chromium.launch({
    executablePath: given.executable,
    args: [
        // A container rarely lets a browser make a sandbox, and this one only sees our own pages.
        '--no-sandbox',
        // A microphone that beeps, and nobody who has to allow it.
        '--use-fake-device-for-media-stream',
        '--use-fake-ui-for-media-stream',
        '--autoplay-policy=no-user-gesture-required',
        // The server under test may be the only network there is.
        '--allow-loopback-in-peer-connection',
        '--disable-quic',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
        ...given.switches,
    ],
});
report('ready', { version: browser.version() });

const pages = new Map();

function pageOf({ page }) {
    const found = pages.get(page);
    if (!found) throw new Error(`no page is open for ${page}`);
    return found;
}

/** The element of a test id; with `text` the one that contains it. */
function element(command) {
    const all = pageOf(command).getByTestId(command.id_of);
    return (command.text === undefined ? all : all.filter({ hasText: command.text })).first();
}

serve(
    {
        open: async ({ page, url, storage = {}, width = 1280, height = 800 }) => {
            const context = await browser.newContext({
                viewport: { width, height },
                permissions: ['microphone', 'camera'],
                // The server's own authority is nobody's but its tests'.
                ignoreHTTPSErrors: url.startsWith('https:'),
            });
            context.setDefaultTimeout(STEP_MS);
            await context.addInitScript((entries) => {
                for (const [key, value] of Object.entries(entries)) localStorage.setItem(key, value);
            }, storage);
            const opened = await context.newPage();
            opened.on('console', (line) => report('console', { page, type: line.type(), text: line.text() }));
            opened.on('pageerror', (error) => report('page_error', { page, text: String(error?.stack ?? error) }));
            pages.set(page, opened);
            await opened.goto(url);
        },
        goto: ({ url, ...command }) => pageOf(command).goto(url).then(() => null),
        reload: (command) => pageOf(command).reload().then(() => null),
        click: (command) => element(command).click(),
        fill: ({ value, ...command }) => element(command).fill(value),
        choose: ({ value, ...command }) => element(command).selectOption(value),
        press: ({ key, ...command }) => element(command).press(key),
        see: (command) => element(command).waitFor({ state: 'visible' }),
        miss: (command) => element(command).waitFor({ state: 'hidden' }),
        text: (command) => element(command).innerText(),
        attribute: ({ name, ...command }) => element(command).getAttribute(name),
        evaluate: ({ js, ...command }) => pageOf(command).evaluate(js),
        screenshot: ({ path, ...command }) => pageOf(command).screenshot({ path }).then(() => null),
        cut: ({ offline, ...command }) => pageOf(command).context().setOffline(offline),
    },
    () => browser.close(),
);

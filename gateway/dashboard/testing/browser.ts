/** A real Chromium for tests: the one on PATH, driven by playwright-core, which ships none. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** Nothing but what the page does goes over the network. */
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const EXECUTABLE = executable();

/** Why tests in a browser are skipped; false: they are not. */
export const CHROMIUM_MISSING: string | false = EXECUTABLE === null && 'chromium is not on PATH';

export function startBrowser(): Promise<Browser> {
  if (EXECUTABLE === null) throw new Error('chromium is not on PATH');
  return chromium.launch({ executablePath: EXECUTABLE, args: ARGS });
}

function executable(): string | null {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of NAMES) {
      if (isExecutable(join(directory, name))) return join(directory, name);
    }
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

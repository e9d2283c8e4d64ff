/** The image without Docker: its Dockerfile read and linted, and what it would hold started as it would be. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { validate } from 'dockerfile-utils';

const HERE = import.meta.dirname;
const ROOT = join(HERE, '..');
const DOCKERFILE = readFileSync(join(HERE, 'Dockerfile'), 'utf8');
const [, image = ''] = DOCKERFILE.split(/^FROM .*$/m).slice(1);

/** What is copied out of the repository into the last stage. */
const COPIED = [...image.matchAll(/^COPY (?!--from)(.+)$/gm)].flatMap(([, words = '']) => {
  const parts = words.split(' ');
  return parts.slice(0, -1).map((source) => ({ source, target: parts.at(-1) === './' ? source : parts.at(-1)! }));
});
const IGNORED = readFileSync(join(HERE, 'Dockerfile.dockerignore'), 'utf8').split('\n');

const sandbox = (() => {
  try {
    execFileSync('bwrap', ['--ro-bind', '/', '/', '--unshare-user', '--uid', '1000', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

test('the Dockerfile has no fault that a linter knows', () => {
  const found = validate(DOCKERFILE, {}).map(({ message, range }) => `${range.start.line + 1}: ${message}`);
  assert.deepEqual(found, []);
  assert.notDeepEqual(validate('FROM a\nCOPPY a b\nCMD a\nCMD b\n', {}), []);
});

test('the image is of the very Node that Hearth is tested with, not root, and asked for its health by Node itself', () => {
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: { node: string };
  };
  const from = [...DOCKERFILE.matchAll(/^FROM (\S+)/gm)].map(([, name]) => name);
  assert.deepEqual(new Set(from), new Set([`node:${dependencies.node}-trixie-slim`]));
  assert.match(image, /^USER 1000:1000$/m);
  assert.match(image, /^STOPSIGNAL SIGTERM$/m);
  const [, health = ''] = /HEALTHCHECK[^[]*CMD (\[.*\])$/m.exec(image.replaceAll('\\\n', '')) ?? [];
  assert.equal((JSON.parse(health) as string[])[0], 'node');
});

test('what is copied is there and not kept out, and what is no part of a running Hearth is', () => {
  assert.ok(COPIED.length >= 6);
  for (const { source } of COPIED) {
    assert.ok(existsSync(join(ROOT, source)), source);
    assert.ok(IGNORED.includes(`!${source}`), `${source} is kept out by Dockerfile.dockerignore`);
  }
  for (const pattern of ['*', '**/*.test.ts', '**/.hearth', '**/node_modules'])
    assert.ok(IGNORED.includes(pattern), pattern);
});

test('what the image holds starts on a file system that it cannot write to, as a user without rights, and answers', {
  skip: sandbox ? false : 'bubblewrap is not here, or may not make namespaces',
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'hearth-image-'));
  try {
    const root = join(dir, 'hearth');
    const kept = excluded();
    for (const { source, target } of COPIED) {
      mkdirSync(dirname(join(root, target)), { recursive: true });
      await cp(join(ROOT, source), join(root, target), { recursive: true, filter: (path) => !kept.has(path) });
    }
    mkdirSync(join(root, 'node_modules'));
    mkdirSync(join(dir, 'data'));
    const [, command = ''] = /^CMD (\[.*\])$/m.exec(image) ?? [];
    const [, ...args] = JSON.parse(command) as string[];
    const child = spawn(
      'bwrap',
      [
        ...['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp'],
        ...['--ro-bind', root, '/tmp/hearth', '--ro-bind', join(ROOT, 'node_modules'), '/tmp/hearth/node_modules'],
        ...['--bind', join(dir, 'data'), '/tmp/data'],
        ...['--unshare-user', '--uid', '1000', '--gid', '1000', '--cap-drop', 'ALL', '--die-with-parent'],
        // By its path in there: the repository itself may lie below /tmp.
        ...['--chdir', '/tmp/hearth', '/tmp/hearth/node_modules/node/bin/node', ...args],
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { HEARTH_PORT: '0', HEARTH_ADMIN_PORT: '0', HEARTH_DATA_DIR: '/tmp/data', HEARTH_LOG: 'info' },
      },
    );
    const ended = once(child, 'close');
    const late = setTimeout(() => child.kill('SIGKILL'), 90_000);
    try {
      const { url, adminUrl } = await readyLine(child.stdout);
      assert.equal((await fetch(`${adminUrl}/readyz`)).status, 200);
      assert.match(await (await fetch(`${url}/hello`)).text(), /Hello/);
      assert.equal((await fetch(`${adminUrl}/docs/security`)).status, 200);
    } finally {
      child.kill('SIGTERM');
      await ended;
      clearTimeout(late);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

/** What Dockerfile.dockerignore keeps out below what is copied. */
function excluded(): Set<string> {
  const patterns = IGNORED.filter((line) => line.startsWith('**/'));
  const roots = COPIED.map(({ source }) => source).filter((source) => !source.includes('.'));
  const found = globSync(
    roots.flatMap((source) => patterns.map((pattern) => `${source}/${pattern}`)),
    { cwd: ROOT },
  );
  return new Set(found.map((path) => join(ROOT, path)));
}

async function readyLine(output: NodeJS.ReadableStream): Promise<{ url: string; adminUrl: string }> {
  let said = '';
  for await (const line of createInterface({ input: output })) {
    said += `${line}\n`;
    if (!line.includes('"msg":"ready"')) continue;
    output.resume();
    return JSON.parse(line) as { url: string; adminUrl: string };
  }
  throw new Error(`It ended and was never ready:\n${said}`);
}

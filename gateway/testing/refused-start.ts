/** A configuration that a gateway is not to start with. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnGateway } from './gateway.ts';

/** A working directory with this configuration file, and these beside it; whoever asks for it removes it. */
export async function configured(config: string, files: Record<string, string> = {}): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), 'hearth-configured-'));
  for (const [path, text] of Object.entries({ ...files, 'hearth.config.jsonc': config })) {
    await writeFile(join(cwd, path), text);
  }
  return cwd;
}

/** Ends with 2 and one line, which says this. */
export async function assertRefused(config: string, files: Record<string, string>, sentence: RegExp): Promise<void> {
  const cwd = await configured(config, files);
  try {
    const { exited, output, ready } = spawnGateway({ cwd, dataDir: join(cwd, 'data') });
    await assert.rejects(ready);
    assert.equal(await exited, 2);
    assert.match(output(), sentence);
    assert.equal(output().trim().split('\n').length, 1, output());
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { codeCacheKey } from './cache-key.ts';

const code = Buffer.from('module.exports = 1');
const runtime = { version: 'v26.10.0', arch: 'x64', execArgv: ['--a', '--b'] };

it('is one key for the same code and runtime, whatever the order of flags', () => {
  assert.equal(codeCacheKey(code, runtime), codeCacheKey(Buffer.from(code), { ...runtime, execArgv: ['--b', '--a'] }));
  assert.match(codeCacheKey(code), /^[0-9a-f]{64}$/);
});

it('is another key for other code of the same length, another Node, architecture or flag', () => {
  const keys = [
    codeCacheKey(code, runtime),
    codeCacheKey(Buffer.from('module.exports = 2'), runtime),
    codeCacheKey(code, { ...runtime, version: 'v26.10.1' }),
    codeCacheKey(code, { ...runtime, arch: 'arm64' }),
    codeCacheKey(code, { ...runtime, execArgv: ['--a'] }),
  ];
  assert.equal(new Set(keys).size, keys.length);
});

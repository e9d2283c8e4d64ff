import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { ConfigError, helpText, readConfig } from './config.ts';

const read = (args: string[] = [], env: Record<string, string> = {}) => readConfig(args, env).config;

function refused(args: string[], env: Record<string, string> = {}): string {
  try {
    read(args, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.ok(!error.message.includes('\n'), 'one line');
    return error.message;
  }
  throw new assert.AssertionError({ message: `${JSON.stringify([args, env])} was taken` });
}

describe('settings', () => {
  test('have the defaults of the contract', () => {
    const config = read();
    assert.equal(config.host, '127.0.0.1');
    assert.equal(config.port, 8080);
    assert.equal(config.adminPort, 8081);
    assert.equal(config.dataDir, resolve('.hearth'));
    assert.equal(config.examples, 'auto');
    assert.equal(config.warmBases, 8);
    assert.equal(config.maxBases, 256);
    assert.equal(config.basesPerHost, 8);
    assert.equal(config.maxBodyBytes, 100 * 1024 * 1024);
    assert.equal(config.maxDeployBytes, 64 * 1024 * 1024);
    assert.equal(config.network, 'all');
    assert.equal(config.retentionDays, 7);
    assert.equal(config.log, 'info');
    assert.equal(config.adminToken, null);
    assert.deepEqual(config.secretKeys, []);
    assert.deepEqual(config.trustProxy, []);
    assert.equal(config.callbackPrivate, 'refuse');
    assert.equal(config.arkletPort, null);
    assert.equal(config.arkletToken, 'required');
    assert.deepEqual(config.arkletSources, []);
    assert.ok(config.memoryMb >= 256);
  });

  test('come from the environment, and flags win', () => {
    const env = { HEARTH_PORT: '9000', HEARTH_ADMIN_PORT: '9001', HEARTH_LOG: 'debug' };
    assert.equal(read([], env).port, 9000);
    assert.equal(read(['--port', '9100'], env).port, 9100);
    assert.equal(read(['--port=9100'], env).adminPort, 9001);
    assert.equal(read([], env).log, 'debug');
  });

  test('an empty variable means that it is not set', () => {
    assert.equal(read([], { HEARTH_PORT: '', HEARTH_ADMIN_TOKEN: '' }).port, 8080);
    assert.equal(read([], { HEARTH_ADMIN_TOKEN: '' }).adminToken, null);
  });

  test('a Redis is where its URL says, once it is the store', () => {
    const redis = (url: string) => read([], { HEARTH_STORE: 'redis', REDIS_URL: url }).redis;
    assert.equal(read([], { REDIS_URL: 'of another program' }).redis, null);
    assert.equal(read([], { HEARTH_STORE: 'redis' }).redis?.shown, '127.0.0.1:6379');
    assert.deepEqual(redis('redis://user:p%40ss@store:7000/3'), {
      options: { host: 'store', port: 7000, username: 'user', password: 'p@ss', db: 3 },
      shown: 'store:7000',
    });
    assert.deepEqual(redis('redis://[::1]'), { options: { host: '::1', port: 6379 }, shown: '[::1]:6379' });
    assert.deepEqual(redis('rediss://store')?.options, { host: 'store', port: 6379, tls: { servername: 'store' } });
    assert.deepEqual(redis('unix:///run/redis.sock')?.options, { path: '/run/redis.sock' });
    for (const url of [
      'store:6379',
      'http://store',
      'redis://store/a',
      'redis://store/1/2',
      'redis://:secret@store?x=1',
    ]) {
      const message = refused([], { HEARTH_STORE: 'redis', REDIS_URL: url });
      assert.match(message, /^REDIS_URL: given a value that does not fit, allowed is redis:/);
      assert.doesNotMatch(message, /secret/);
    }
    assert.match(refused(['--store', 'postgres']), /^--store: given "postgres", allowed is sqlite, redis\.$/);
  });

  test('lists are split at commas', () => {
    assert.deepEqual(read(['--trust-proxy', '10.0.0.0/8, ::1']).trustProxy, ['10.0.0.0/8', '::1']);
    const keys = `${'k'.repeat(32)},${'o'.repeat(32)}`;
    assert.deepEqual(read([], { HEARTH_SECRET_KEY: keys }).secretKeys, keys.split(','));
  });

  test('a bad value is named with what was given and what is allowed', () => {
    assert.equal(
      refused([], { HEARTH_PORT: 'eighty' }),
      'HEARTH_PORT: given "eighty", allowed is a whole number from 0 to 65535.',
    );
    assert.equal(refused(['--port', '65536']), '--port: given "65536", allowed is a whole number from 0 to 65535.');
    assert.match(refused([], { HEARTH_NETWORK: 'some' }), /^HEARTH_NETWORK: given "some", allowed is all, none\.$/);
    assert.match(refused([], { HEARTH_LOG: 'loud' }), /silent, error, warn, info, debug, trace/);
    assert.match(refused([], { HEARTH_MAX_BASES: '-1' }), /^HEARTH_MAX_BASES: given "-1"/);
    assert.match(refused([], { HEARTH_TRUST_PROXY: 'proxy.example' }), /^HEARTH_TRUST_PROXY: given/);
  });

  test('what does not exist is refused, not ignored', () => {
    assert.match(
      refused([], { HEARTH_SANDBOX: 'yes' }),
      /^HEARTH_SANDBOX: given "yes", allowed is auto, off, require\.$/,
    );
  });

  test('settings that contradict each other are refused', () => {
    assert.match(refused([], { HEARTH_WARM_BASES: '9', HEARTH_MAX_BASES: '8' }), /^HEARTH_WARM_BASES: .*\(8\)/);
    assert.match(refused(['--admin-port', '8080']), /^HEARTH_ADMIN_PORT: given "8080"/);
  });

  test("arklet's port is off or a port of its own, and goes without a token on loopback only", () => {
    assert.equal(read([], { HEARTH_ARKLET_PORT: '1238' }).arkletPort, 1238);
    assert.equal(read(['--arklet-port', 'off'], { HEARTH_ARKLET_PORT: '1238' }).arkletPort, null);
    assert.match(refused(['--arklet-port', 'on']), /^--arklet-port: given "on", allowed is off, or a whole number/);
    assert.match(refused(['--arklet-port', '8081']), /^HEARTH_ARKLET_PORT: .* other than HEARTH_ADMIN_PORT/);
    assert.match(refused(['--arklet-port', '8080']), /^HEARTH_ARKLET_PORT: .* other than HEARTH_PORT/);
    const open = ['--arklet-port', '1238', '--arklet-token', 'off'];
    assert.equal(read(open).arkletToken, 'off');
    assert.match(refused([...open, '--admin-host', '0.0.0.0']), /^HEARTH_ARKLET_TOKEN: .*0\.0\.0\.0.* not loopback/);
    assert.match(refused(['--arklet-token', 'none']), /^--arklet-token: given "none"/);
  });

  test('what arklet may install from are absolute directories and hosts', () => {
    const given = '/srv/modules, repo.example, 10.0.0.7:8080, [::1]:9000';
    assert.deepEqual(read(['--arklet-sources', given]).arkletSources, given.split(', '));
    for (const bad of ['/', '../x', 'http://repo.example', 'repo.example/x']) {
      assert.match(refused(['--arklet-sources', bad]), /^--arklet-sources: given/, bad);
    }
  });

  test('a token or key that does not fit is not repeated', () => {
    for (const env of [{ HEARTH_ADMIN_TOKEN: 'short' }, { HEARTH_SECRET_KEY: 'short' }]) {
      assert.ok(!refused([], env as Record<string, string>).includes('"short"'));
    }
  });

  test('flags that are none, or have no value, are refused', () => {
    assert.match(refused(['--prot', '80']), /^--prot: no such flag/);
    assert.match(refused(['--port']), /^--port: given without a value/);
    assert.match(refused(['start']), /^"start": not a flag/);
  });

  test('--help lists every flag with its variable and default', () => {
    assert.equal(readConfig(['--help'], {}).help, true);
    assert.equal(readConfig(['-h'], {}).help, true);
    const help = helpText();
    for (const [flag, variable, standard] of [
      ['--host', 'HEARTH_HOST', '127.0.0.1'],
      ['--port', 'HEARTH_PORT', '8080'],
      ['--admin-token', 'HEARTH_ADMIN_TOKEN', ''],
      ['--data-dir', 'HEARTH_DATA_DIR', './.hearth'],
      ['--max-deploy-mb', 'HEARTH_MAX_DEPLOY_MB', '64'],
      ['--config', 'HEARTH_CONFIG', ''],
    ] as const) {
      assert.ok(help.includes(`  ${flag} VALUE`), flag);
      assert.ok(help.includes(`${variable};`), variable);
      assert.ok(help.includes(standard));
    }
  });
});

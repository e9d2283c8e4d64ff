/** compose.yaml as Docker's own reader has it, and what its parts say of each other. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';

const HERE = import.meta.dirname;
const FILE = join(HERE, 'compose.yaml');
const CHECK = join(HERE, '../.bin/compose-check');
const skip = existsSync(CHECK) ? false : 'no compose-check: run infra/compose-check/build.sh (needs Go)';

interface Service {
  image: string;
  build?: { context: string; dockerfile: string };
  environment?: Record<string, string>;
  ports?: string[];
  volumes?: string[];
  depends_on?: string[] | Record<string, unknown>;
  [key: string]: unknown;
}
const compose = parse(readFileSync(FILE, 'utf8')) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const services = Object.entries(compose.services);

test("Docker's own reader takes the compose file", { skip }, async () => {
  // The password is for whoever starts it to set.
  const { stdout } = await promisify(execFile)(CHECK, ['-no-interpolation', '-format', 'json', FILE]);
  assert.deepEqual(
    Object.keys((JSON.parse(stdout) as typeof compose).services).sort(),
    Object.keys(compose.services).sort(),
  );
  // The dashboard is none: the reader does refuse what is no compose file.
  await assert.rejects(promisify(execFile)(CHECK, [join(HERE, 'prometheus/prometheus.yaml')]));
});

test('functions stand in the network of Redis, and know no password for it: there is one, and none that comes along', () => {
  const { hearth, redis } = compose.services;
  const password = /^redis:\/\/:(\$\{REDIS_PASSWORD:\?[^}]+\})@redis:6379$/.exec(
    hearth!.environment!.REDIS_URL ?? '',
  )?.[1];
  assert.ok(password !== undefined);
  const command = redis!.command as string[];
  assert.equal(command[command.indexOf('--requirepass') + 1], password);
  assert.equal(redis!.environment!.REDISCLI_AUTH, password);
});

test('every file and directory that is mounted or built is there, and every volume is declared', () => {
  for (const [name, { volumes = [], build }] of services) {
    if (build !== undefined) assert.ok(existsSync(join(HERE, build.context, build.dockerfile)), name);
    for (const volume of volumes) {
      const [source = ''] = volume.split(':');
      if (source.startsWith('.')) assert.ok(existsSync(join(HERE, source)), `${name}: ${source}`);
      else assert.ok(source in compose.volumes, `${name}: ${source}`);
    }
  }
});

test('nothing listens beyond this machine, and Hearth has no rights and no place to write but its data', () => {
  for (const [name, { ports = [] }] of services) for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, name);
  const { hearth } = compose.services;
  assert.deepEqual(
    [hearth!.read_only, hearth!.cap_drop, hearth!.security_opt, hearth!.volumes, hearth!.tmpfs],
    [true, ['ALL'], ['no-new-privileges:true'], ['hearth:/data'], ['/tmp']],
  );
});

test('each address in a setting leads to a service that listens there', () => {
  const listens: Record<string, number> = {
    hearth: 8081,
    redis: 6379,
    collector: 4318,
    jaeger: 4318,
    prometheus: 9090,
  };
  const texts = [
    readFileSync(FILE, 'utf8'),
    ...['collector/config.yaml', 'prometheus/prometheus.yaml', 'grafana/provisioning/datasources/hearth.yaml'].map(
      (path) => readFileSync(join(HERE, path), 'utf8'),
    ),
  ];
  const found = texts.flatMap((text) => [...text.matchAll(/(?:https?:\/\/|redis:\/\/|[@"'])([a-z]+):(\d{4,5})\b/g)]);
  assert.ok(found.length >= 6);
  for (const [, host = '', port] of found) {
    assert.ok(host in compose.services, host);
    // Jaeger's page and API beside what takes spans.
    assert.ok(Number(port) === listens[host] || (host === 'jaeger' && port === '16686'), `${host}:${port}`);
  }
});

test('Redis keeps what it has answered', () => {
  const command = compose.services.redis!.command as string[];
  for (const [flag, value] of [
    ['--appendonly', 'yes'],
    ['--appendfsync', 'always'],
    ['--maxmemory-policy', 'noeviction'],
  ] as const) {
    assert.equal(command[command.indexOf(flag) + 1], value);
  }
});

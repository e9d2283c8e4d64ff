/** What kubectl makes of the manifests, held against Kubernetes' own schemas and against what Hearth is. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const HERE = import.meta.dirname;
const ROOT = join(HERE, '../..');

// biome-ignore lint/suspicious/noExplicitAny: any object of Kubernetes; what it has to hold is what is tested
type Manifest = any;

/** Where the class of each kind stands: it has a validator made from Kubernetes' schema, and its type knows every key. */
const PACKAGES: Record<string, string> = {
  'v1 Namespace': 'kubernetes-models/v1/Namespace',
  'v1 Secret': 'kubernetes-models/v1/Secret',
  'v1 Service': 'kubernetes-models/v1/Service',
  'apps/v1 Deployment': 'kubernetes-models/apps/v1/Deployment',
  'apps/v1 StatefulSet': 'kubernetes-models/apps/v1/StatefulSet',
  'autoscaling/v2 HorizontalPodAutoscaler': 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler',
  'policy/v1 PodDisruptionBudget': 'kubernetes-models/policy/v1/PodDisruptionBudget',
  'networking.k8s.io/v1 NetworkPolicy': 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy',
  'monitoring.coreos.com/v1 ServiceMonitor':
    '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor',
};

const rendered = (() => {
  try {
    return execFileSync('kubectl', ['kustomize', join(HERE, 'overlays/try')], { encoding: 'utf8' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
})();
const skip = rendered === null ? 'kubectl is not on PATH' : false;
const manifests: Manifest[] = parseAllDocuments(rendered ?? '').map((document) => document.toJS());

function one(kind: string, name = 'hearth'): Manifest {
  const found = manifests.filter((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  assert.equal(found.length, 1, `${kind} ${name}`);
  return found[0];
}

test('every manifest is valid by the schema of its kind', { skip }, async () => {
  assert.ok(manifests.length >= 10);
  for (const manifest of manifests) {
    const kind = `${manifest.apiVersion} ${manifest.kind}`;
    const path = PACKAGES[kind];
    assert.ok(path !== undefined, kind);
    const { [manifest.kind]: Model } = await import(path);
    new Model(manifest).validate();
  }
});

test('no manifest has a key that its kind does not know', { skip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'hearth-kubernetes-'));
  try {
    symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
    const lines = manifests.flatMap((manifest, i) => {
      const path = PACKAGES[`${manifest.apiVersion} ${manifest.kind}`];
      return [
        `import type { I${manifest.kind} as Kind${i} } from '${path}';`,
        `export const m${i}: Kind${i} = ${JSON.stringify(manifest)};`,
      ];
    });
    writeFileSync(join(dir, 'manifests.ts'), lines.join('\n'));
    // One that has such a key: the check itself is checked.
    writeFileSync(
      join(dir, 'wrong.ts'),
      `import type { IService } from 'kubernetes-models/v1/Service';\nexport const wrong: IService = ${JSON.stringify({
        apiVersion: 'v1',
        kind: 'Service',
        spec: { portz: [] },
      })};\n`,
    );
    const tsc = (file: string) =>
      promisify(execFile)(
        process.execPath,
        [
          join(ROOT, 'node_modules/typescript/bin/tsc'),
          ...['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'esnext'],
          ...['--types', '', file],
        ],
        { cwd: dir },
      ).then(
        () => '',
        (error: { stdout: string }) => error.stdout,
      );
    const [said, saidOfWrong] = await Promise.all([tsc('manifests.ts'), tsc('wrong.ts')]);
    assert.equal(said, '');
    assert.match(saidOfWrong, /portz.*does not exist/);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a gateway runs without rights, on a file system that it cannot write to, but for its data', { skip }, () => {
  for (const [kind, name] of [
    ['Deployment', 'hearth'],
    ['StatefulSet', 'redis'],
  ] as const) {
    const pod = one(kind, name).spec.template.spec;
    assert.equal(pod.automountServiceAccountToken, false);
    assert.equal(pod.securityContext.runAsNonRoot, true);
    assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
    for (const container of pod.containers) {
      assert.deepEqual(container.securityContext, {
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      });
      assert.ok(container.resources.limits.memory !== undefined);
    }
  }
  const { containers, volumes } = one('Deployment').spec.template.spec;
  const mounts = containers[0].volumeMounts.map(({ mountPath }: Manifest) => mountPath);
  assert.deepEqual([mounts, volumes.length], [['/data', '/tmp'], 2]);
});

test('a pod has time to drain, and is asked where a gateway answers', { skip }, () => {
  const { terminationGracePeriodSeconds, containers } = one('Deployment').spec.template.spec;
  const [container] = containers;
  assert.ok(terminationGracePeriodSeconds >= container.lifecycle.preStop.sleep.seconds + 30);
  const ports = new Map(container.ports.map(({ name, containerPort }: Manifest) => [name, containerPort]));
  assert.deepEqual(
    [...ports],
    [
      ['functions', 8080],
      ['control', 8081],
    ],
  );
  const asked = ['startupProbe', 'readinessProbe', 'livenessProbe'].map((probe) => container[probe].httpGet);
  assert.deepEqual(asked, [
    { path: '/healthz', port: 'control' },
    { path: '/readyz', port: 'control' },
    { path: '/healthz', port: 'control' },
  ]);
});

test('what names something names something that is there', { skip }, () => {
  const deployment = one('Deployment');
  const labels = deployment.spec.template.metadata.labels;
  for (const selector of [
    deployment.spec.selector.matchLabels,
    one('Service').spec.selector,
    one('Service', 'hearth-control').spec.selector,
    one('PodDisruptionBudget').spec.selector.matchLabels,
    one('NetworkPolicy').spec.podSelector.matchLabels,
  ]) {
    assert.ok(Object.keys(selector).length > 0);
    for (const [label, value] of Object.entries(selector)) assert.equal(labels[label], value);
  }
  const { scaleTargetRef } = one('HorizontalPodAutoscaler').spec;
  assert.deepEqual([scaleTargetRef.kind, scaleTargetRef.name], ['Deployment', 'hearth']);
  const monitored = one('ServiceMonitor').spec;
  const control = one('Service', 'hearth-control');
  assert.equal(
    control.metadata.labels['app.kubernetes.io/component'],
    monitored.selector.matchLabels['app.kubernetes.io/component'],
  );
  assert.equal(control.spec.ports[0].name, monitored.endpoints[0].port);
  // The generated secret's name has a hash of its content, and the deployment follows it.
  const secret = manifests.find(({ kind }) => kind === 'Secret');
  assert.equal(deployment.spec.template.spec.containers[0].envFrom[0].secretRef.name, secret.metadata.name);
  assert.deepEqual(Object.keys(secret.data).sort(), ['HEARTH_ADMIN_TOKEN', 'HEARTH_SECRET_KEY', 'REDIS_URL']);
});

test('the control port and Redis are closed to pods that have no business there', { skip }, () => {
  const [functions, control] = one('NetworkPolicy').spec.ingress;
  assert.deepEqual([functions.ports, functions.from], [[{ port: 'functions' }], undefined]);
  assert.deepEqual([control.ports, control.from.length], [[{ port: 'control' }], 2]);
  assert.equal(
    one('NetworkPolicy', 'redis').spec.ingress[0].from[0].podSelector.matchLabels['app.kubernetes.io/name'],
    'hearth',
  );
  const blocked = one('NetworkPolicy').spec.egress.flatMap(({ to }: Manifest) =>
    to.flatMap(({ ipBlock }: Manifest) => ipBlock?.except ?? []),
  );
  assert.ok(blocked.includes('169.254.0.0/16'));
});

/** Which of a function's versions serve: by percent, by rules, and by whom a caller sticks to. */
import { createRoute, z } from '@hono/zod-openapi';
import { HearthError } from '../../functions/contract/errors.ts';
import { type Traffic, trafficSchema, versionsOf } from '../../functions/contract/traffic.ts';
import type { FunctionEntry, Registry } from '../registry/registry.ts';
import { type Caller, requireClaims, requireRead } from './access.ts';
import type { Audit } from './audit.ts';
import type { Deployer } from './deploy.ts';
import { answers, type ControlApp, guard, jsonBody, nameParam } from './http.ts';
import { functionNamed, requireDeploy, versionNamed } from './lookup.ts';
import { functionSchema, functionView, trafficView } from './views.ts';

const name = z.object({ name: nameParam });
const tags = ['versions'];
const path = '/v1/functions/{name}/traffic';

const getRoute = createRoute({
  method: 'get',
  path,
  summary: 'Which versions serve, and what a rollback leads to',
  tags,
  middleware: guard((caller, param) => requireRead(caller, param('name'))),
  request: { params: name },
  responses: answers(200, 'Traffic', z.object({ traffic: trafficView, previous: trafficView })),
});

const putRoute = createRoute({
  method: 'put',
  path,
  summary: 'Set which versions serve: rules first, then the split, by percent or by caller',
  tags,
  request: { params: name, body: jsonBody(trafficSchema) },
  responses: answers(200, 'The function as it is now', functionSchema),
});

export interface TrafficParts {
  registry: Registry;
  deployer: Pick<Deployer, 'exclusive'>;
  audit: Audit;
  urlOf(name: string): string;
}

export function trafficResource(app: ControlApp, parts: TrafficParts): void {
  const { registry, urlOf } = parts;

  app.openapi(getRoute, (c) => {
    const { record } = functionNamed(registry, c.req.valid('param').name);
    return c.json({ traffic: record.traffic, previous: record.previousTraffic }, 200);
  });

  app.openapi(putRoute, async (c) => {
    const { name } = c.req.valid('param');
    const entry = await setTraffic(parts, c.get('caller'), name, c.req.valid('json'));
    return c.json(functionView(entry, urlOf(name), registry), 200);
  });
}

/** Throws FORBIDDEN, NOT_FOUND, CONFLICT. Resolves with the function as it is then. */
export async function setTraffic(
  { registry, deployer, audit }: Pick<TrafficParts, 'registry' | 'deployer' | 'audit'>,
  caller: Caller,
  name: string,
  given: Traffic,
): Promise<FunctionEntry> {
  requireDeploy(caller, registry, name);
  return await deployer.exclusive(name, async () => {
    const entry = functionNamed(registry, name);
    const traffic = withWholeIds(entry, given);
    // As at their deploy: whoever may not claim their routes may not bring them there either.
    for (const version of versionsOf(traffic)) requireClaims(caller, versionNamed(entry, version).manifest);
    await registry.setTraffic([{ name, traffic }]);
    await audit(caller.id, 'traffic', name, { traffic });
    return functionNamed(registry, name);
  });
}

/** Versions may be named by eight characters of their id. Throws NOT_FOUND, and BAD_REQUEST when two names mean one. */
function withWholeIds(entry: FunctionEntry, { split, rules, stickyBy }: Traffic): Traffic {
  const whole = ({ version }: { version: string }) => versionNamed(entry, version).version;
  const versions = split.map(whole);
  const twice = versions.find((version, at) => versions.indexOf(version) < at);
  if (twice !== undefined) throw new HearthError('BAD_REQUEST', `body.split: version ${twice} stands there twice.`);
  return {
    split: split.map((arm) => ({ ...arm, version: whole(arm) })),
    ...(rules === undefined ? {} : { rules: rules.map((rule) => ({ ...rule, version: whole(rule) })) }),
    ...(stickyBy === undefined ? {} : { stickyBy }),
  };
}
